//! From JSON to the fields of a configuration, remembering where a mistake is.
//!
//! Much smaller in a module than tracking the path around another deserializer: one set of generic code for each type
//! instead of three.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::text;

/// A mistake, and the way to it from the inside out.
#[derive(Debug)]
pub struct Mistake {
    problem: String,
    /// Innermost first.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Place(usize),
}

impl Mistake {
    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// As in `providers[0].jwks.inline`; empty for the whole document.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Place(place) => path.push_str(&format!("[{place}]")),
                Step::Member(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        path
    }

    fn in_member(mut self, name: &str) -> Self {
        self.path.push(Step::Member(name.to_owned()));
        self
    }

    fn in_place(mut self, place: usize) -> Self {
        self.path.push(Step::Place(place));
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Mistake {}

impl serde::de::Error for Mistake {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { problem: problem.to_string(), path: Vec::new() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(text::wrong_value(found, expected))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(text::wrong_value(found, expected))
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
pub struct Reader<'de>(pub &'de Value);

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(values) => Places::read(values, visitor),
            Value::Object(members) => visitor.visit_map(Members { members: members.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    // What a type can't be is refused here, for all types in one place: each visitor for everything would be several
    // times the code.

    /// Members have names: a list in their order is not taken for them.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members { members: members.iter(), value: None }),
            other => Err(invalid_type(other, &visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::Array(values) => Places::read(values, visitor),
            other => Err(invalid_type(other, &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            other => Err(invalid_type(other, &visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            other => Err(invalid_type(other, &visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0.as_u64() {
            Some(number) => visitor.visit_u64(number),
            None => Err(invalid_type(self.0, &visitor)),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Variant { name, value: None }),
            Value::Object(members) => visitor.visit_enum(Variant::of(members)?),
            other => Err(invalid_type(other, &"string or map")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

fn invalid_type(found: &Value, expected: &dyn Expected) -> Mistake {
    Mistake::invalid_type(unexpected(found), expected)
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(flag) => Unexpected::Bool(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Unexpected::Unsigned(number),
            (None, Some(number)) => Unexpected::Signed(number),
            (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

struct Places<'de> {
    values: std::slice::Iter<'de, Value>,
    next: usize,
}

impl<'de> Places<'de> {
    fn read<V: Visitor<'de>>(values: &'de [Value], visitor: V) -> Result<V::Value, Mistake> {
        let mut places = Self { values: values.iter(), next: 0 };
        let read = visitor.visit_seq(&mut places)?;
        if places.values.len() == 0 {
            return Ok(read);
        }
        // A type of fixed length would leave the rest unread.
        Err(Mistake::invalid_length(values.len(), &"fewer elements"))
    }
}

impl<'de> SeqAccess<'de> for Places<'de> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some(value) = self.values.next() else { return Ok(None) };
        let place = self.next;
        self.next = place.saturating_add(1);
        seed.deserialize(Reader(value)).map(Some).map_err(|mistake| mistake.in_place(place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

struct Members<'de> {
    members: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Mistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Mistake> {
        let Some((name, value)) = self.members.next() else { return Ok(None) };
        self.value = Some((name, value));
        // A name that the type does not know is a mistake in the member itself.
        let name_reader: StrDeserializer<'de, Mistake> = name.as_str().into_deserializer();
        seed.deserialize(name_reader).map(Some).map_err(|mistake| mistake.in_member(name))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        let (name, value) = self.value.take().ok_or_else(|| Mistake::custom("a member without value"))?;
        seed.deserialize(Reader(value)).map_err(|mistake| mistake.in_member(name))
    }
}

/// `name`, or `{name: value}`.
struct Variant<'de> {
    name: &'de str,
    value: Option<&'de Value>,
}

impl<'de> Variant<'de> {
    fn of(members: &'de Map<String, Value>) -> Result<Self, Mistake> {
        let mut members = members.iter();
        match (members.next(), members.next()) {
            (Some((name, value)), None) => Ok(Self { name, value: Some(value) }),
            _ => Err(Mistake::invalid_value(Unexpected::Map, &"map with a single key")),
        }
    }

    fn inside<T>(&self, result: Result<T, Mistake>) -> Result<T, Mistake> {
        result.map_err(|mistake| mistake.in_member(self.name))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Mistake> {
        let name: StrDeserializer<'de, Mistake> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.value {
            None => Ok(()),
            Some(value) => self.inside(Err(Mistake::invalid_type(unexpected(value), &"unit variant"))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mistake> {
        match self.value {
            Some(value) => self.inside(seed.deserialize(Reader(value))),
            None => self.inside(Err(Mistake::invalid_type(Unexpected::UnitVariant, &"newtype variant"))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        match self.value {
            Some(value) => self.inside(Reader(value).deserialize_any(visitor)),
            None => self.inside(Err(Mistake::invalid_type(Unexpected::UnitVariant, &"tuple variant"))),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.value {
            Some(value) => self.inside(Reader(value).deserialize_any(visitor)),
            None => self.inside(Err(Mistake::invalid_type(Unexpected::UnitVariant, &"struct variant"))),
        }
    }
}
