//! The fields of a response: one pass over those that are there, then what is missing.

use std::collections::BTreeMap;

use portcullis_core::ConfigError;
use portcullis_core::Response;
use portcullis_core::headers::PrintableHeaders;

use crate::bytes;
use crate::config::{Profile, ResponseConfig};
use crate::data::{API_PROFILE, DEPRECATED, Existing, LEAKING, WEB_PROFILE};
use crate::names::{Builder, NameTable, Pattern};
use crate::policy::{Edit, patterns};

/// Fields that frame the message or belong to the connection, and `set-cookie`, which is no single field.
const NOT_SETTABLE: [&str; 7] =
    ["connection", "content-length", "keep-alive", "set-cookie", "trailer", "transfer-encoding", "upgrade"];

/// Fields of the profile and of the operator together; each has a bit below.
const MAX_FIELDS: usize = 64;

/// HSTS says "only TLS from now on", which a plaintext connection has no right to say (RFC 6797 section 7.2).
const HSTS: &[u8] = b"strict-transport-security";

/// Switching Protocols is final, but no page is rendered from it.
pub(super) const SWITCHING_PROTOCOLS: u16 = 101;

/// What is noted of a value that could end its line.
const CONTROL_CHARACTER: &str = "response.control_character";

#[derive(Debug)]
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
    existing: Existing,
    is_hsts: bool,
}

/// What is done with a field of a response.
#[derive(Clone, Copy, Debug, Default)]
enum Treatment {
    #[default]
    Pass,
    Remove,
    /// Managed; an index into [`Hardening::fields`].
    Field(usize),
}

/// The rules for responses.
#[derive(Debug)]
pub struct Hardening {
    table: NameTable<Treatment>,
    fields: Vec<Field>,
    /// What a response gets that has none of them, to a client that came over TLS and to another one.
    missing: (PrintableHeaders, PrintableHeaders),
    adds_cache_control: bool,
}

impl Hardening {
    /// Reads the configured lists.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no name or no value, and for a name in two lists that contradict each other.
    pub fn new(config: &ResponseConfig) -> Result<Self, ConfigError> {
        let remove = patterns("remove", &config.remove)?;
        let keep = patterns("keep", &config.keep)?;
        // Whether to remove; ordered: the wide before the narrow.
        let mut operators = BTreeMap::new();
        for (index, pattern) in remove.into_iter().enumerate() {
            if keep.contains(&pattern) {
                let problem = "expected a name that is not in `keep` too";
                return Err(ConfigError::new(format!("remove[{index}]"), problem));
            }
            operators.insert(pattern, true);
        }
        operators.extend(keep.into_iter().map(|pattern| (pattern, false)));

        let profile = match config.profile {
            Profile::Api2026 => API_PROFILE,
            Profile::Web2026 => WEB_PROFILE,
            Profile::None => &[],
        };
        let mut fields: Vec<Field> = profile
            .iter()
            .map(|(name, value, existing)| Field::new(name, value, *existing))
            .filter(|field| !operators.keys().any(|pattern| pattern.covers(&field.pattern())))
            .collect();
        for (list, configured, existing) in
            [("set", &config.set, Existing::Override), ("add", &config.add, Existing::Keep)]
        {
            for (name, value) in configured {
                let field = Field::configured(name, value, existing).map_err(|error| error.under(list))?;
                let contradicted = operators.contains_key(&field.pattern())
                    || (list == "add" && config.set.keys().any(|set| set.eq_ignore_ascii_case(name)));
                if contradicted {
                    let problem = "expected a name that is in no other list";
                    return Err(ConfigError::new(format!("{list}.{name}"), problem));
                }
                fields.retain(|known: &Field| known.name != field.name);
                fields.push(field);
            }
        }
        if fields.len() > MAX_FIELDS {
            let problem = format!("expected at most {MAX_FIELDS} fields to set, found {}", fields.len());
            return Err(ConfigError::new("set", problem));
        }

        let mut table = Builder::new();
        for name in LEAKING.iter().chain(DEPRECATED) {
            if let Ok(pattern) = Pattern::parse(name) {
                table.change(&pattern, |treatment| *treatment = Treatment::Remove);
            }
        }
        for (pattern, remove) in operators {
            let own = if remove { Treatment::Remove } else { Treatment::Pass };
            table.change(&pattern, |treatment| *treatment = own);
        }
        for (index, field) in fields.iter().enumerate() {
            table.change(&field.pattern(), |treatment| *treatment = Treatment::Field(index));
        }
        let missing = |secure: bool| {
            let missing = fields.iter().filter(|field| secure || !field.is_hsts);
            PrintableHeaders::new(missing.map(|field| (&field.name, &field.value)).collect())
                // INVARIANT: each field was looked at.
                .ok_or_else(|| ConfigError::new("set", "expected printable ASCII"))
        };
        let adds_cache_control = fields.iter().any(|field| field.name == b"cache-control");
        Ok(Self {
            table: table.build(),
            missing: (missing(true)?, missing(false)?),
            fields,
            adds_cache_control,
        })
    }

    /// Whether the operator says what happens to a field of this name.
    #[must_use]
    pub fn is_settled(&self, name: &[u8]) -> bool {
        self.table.find(name).is_some()
    }

    /// Whether a response without `cache-control` gets one.
    #[must_use]
    pub const fn adds_cache_control(&self) -> bool {
        self.adds_cache_control
    }

    /// Hardens one response; `secure` says whether the client came over TLS. Doing it again to what comes out of it changes
    /// nothing more.
    pub fn apply(&self, response: &Response, secure: bool, edit: &mut dyn FnMut(Edit<'_>)) {
        let switching = response.status() == Some(SWITCHING_PROTOCOLS);
        let (mut present, mut wrong, mut broken) = (0_u64, 0_u64, 0_u64);
        let suspicious = !response.headers().is_printable();
        for (name, value) in response.headers().iter() {
            // A line end in a value begins a field of somebody else's (CWE-113); each cookie is judged for itself.
            let is_broken = suspicious && bytes::has_control(value) && name != b"set-cookie";
            if is_broken {
                edit(Edit::Found(CONTROL_CHARACTER));
            }
            match self.table.find(name) {
                None | Some(Treatment::Pass) if is_broken => edit(Edit::Remove(name)),
                None | Some(Treatment::Pass) => {}
                Some(Treatment::Remove) => edit(Edit::Remove(name)),
                Some(Treatment::Field(index)) => {
                    let (Some(field), bit) = (self.fields.get(*index), bit(*index)) else {
                        continue;
                    };
                    // One of two equal fields is one too many.
                    if present & bit != 0 || value != field.value {
                        wrong |= bit;
                    }
                    present |= bit;
                    broken |= if is_broken { bit } else { 0 };
                }
            }
        }
        // As nearly all responses are.
        if present == 0 && !switching {
            return edit(Edit::AppendAll(if secure { &self.missing.0 } else { &self.missing.1 }));
        }
        for (index, field) in self.fields.iter().enumerate() {
            let bit = bit(index);
            let (present, wrong, broken) = (present & bit != 0, wrong & bit != 0, broken & bit != 0);
            if field.is_hsts && !secure {
                if present {
                    edit(Edit::Remove(&field.name));
                }
            } else if switching && !field.is_hsts {
                // Nothing to protect.
            } else if !present {
                edit(Edit::Append(&field.name, &field.value));
            } else if broken || (wrong && field.existing == Existing::Override) {
                edit(Edit::Set(&field.name, &field.value));
            }
        }
    }
}

impl Field {
    fn new(name: &str, value: &str, existing: Existing) -> Self {
        let name = name.to_ascii_lowercase().into_bytes();
        Self { is_hsts: name == HSTS, name, value: value.as_bytes().to_vec(), existing }
    }

    fn configured(name: &str, value: &str, existing: Existing) -> Result<Self, ConfigError> {
        let field = Self::new(name, value, existing);
        if !matches!(Pattern::parse(name), Ok(Pattern::Exact(_))) {
            return Err(ConfigError::new(name, "expected a header name"));
        }
        if NOT_SETTABLE.iter().any(|framing| framing.as_bytes() == field.name) {
            return Err(ConfigError::new(name, "expected a field that does not frame the message"));
        }
        if value.is_empty() || !value.is_ascii() || bytes::has_control(&field.value) || value.trim() != value
        {
            return Err(ConfigError::new(name, "expected printable ASCII without space around it"));
        }
        Ok(field)
    }

    fn pattern(&self) -> Pattern {
        Pattern::Exact(self.name.clone())
    }
}

/// The bit of the field at `index`, below [`MAX_FIELDS`].
fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
