use proptest::prelude::*;
use serde_json::json;

use super::*;

fn problem(text: &[u8]) -> Option<JsonProblem> {
    parse(text, Limits::default()).err().map(|error| error.problem)
}

/// The tests check arithmetic, as the modules do: what overflowed would panic here.
#[test]
fn numbers_at_the_ends_of_their_range_are_read_as_std_reads_them() {
    let digits = "1234567890".repeat(2_000);
    let exponents = [
        "",
        "e0",
        "e1",
        "e-1",
        "e308",
        "e-308",
        "e-324",
        "e2147483647",
        "e-2147483648",
        "e99999999999",
        "e-99999999999",
    ];
    for mantissa in [
        "1.0".to_owned(),
        "9007199254740993.5".to_owned(),
        "2.2250738585072011".to_owned(),
        format!("0.{}1", "0".repeat(20_000)),
        format!("0.{digits}"),
        format!("{digits}.{digits}"),
        format!("1{}.5", "0".repeat(20_000)),
    ] {
        for exponent in exponents {
            let text = format!("{mantissa}{exponent}");
            let expected = text.parse::<f64>().unwrap();
            let found = parse(text.as_bytes(), Limits::default()).ok().and_then(|value| value.as_f64());
            let expected = expected.is_finite().then_some(expected);
            assert_eq!(found, expected, "{} characters before `{exponent}`", mantissa.len());
        }
    }
}

// covers: ENV-BODY-13
#[test]
fn a_number_is_the_double_nearest_to_its_text() {
    // The first was read as 1000, which passed `maximum: 1000` and `type: integer`.
    for text in ["1000.0000000000001", "0.1", "1.0000000000000002", "5e-324", "8.98846567431158e307"] {
        let read = parse(text.as_bytes(), Limits::default()).unwrap();
        let bits = |number: f64| number.to_bits();
        assert_eq!(read.as_f64().map(bits), text.parse().map(bits).ok(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_double_reads_back(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let read = parse(format!("{number:e}").as_bytes(), Limits::default()).unwrap();
        prop_assert_eq!(read.as_f64(), Some(number));
    }
}

// covers: ENV-BODY-10, ENV-BODY-12
#[test]
fn what_readers_could_take_differently_is_refused() {
    use JsonProblem::{DuplicateName, NotUtf8, NumberRange, Syntax, Truncated};
    for (name, text, expected) in [
        ("duplicate name", &br#"{"amount":1,"amount":1000000}"#[..], Some(DuplicateName)),
        ("duplicate by escape", br#"{"scope":"a","\u0073cope":"b"}"#, Some(DuplicateName)),
        ("duplicate one level down", br#"{"a":{"b":1,"b":2}}"#, Some(DuplicateName)),
        ("duplicate in an array of objects", br#"[{"b":1},{"b":1,"b":2}]"#, Some(DuplicateName)),
        ("duplicate empty name", br#"{"":1,"":2}"#, Some(DuplicateName)),
        ("names that differ in case", br#"{"a":1,"A":2}"#, None),
        ("equal names in different objects", br#"[{"b":1},{"b":2}]"#, None),
        ("byte order mark", b"\xef\xbb\xbf{}", Some(Syntax)),
        ("UTF-16", b"{\0}\0", Some(Syntax)),
        ("UTF-16 with its mark", b"\xff\xfe{\0}\0", Some(NotUtf8)),
        ("trailing comma in an array", b"[1,]", Some(Syntax)),
        ("trailing comma in an object", br#"{"a":1,}"#, Some(Syntax)),
        ("comment", b"[1/* */]", Some(Syntax)),
        ("NaN", b"NaN", Some(Syntax)),
        ("minus infinity", b"-Infinity", Some(Syntax)),
        ("single quotes", b"{'a':1}", Some(Syntax)),
        ("NUL in a name by escape", br#"{"\u0000":1}"#, None),
        ("lone high surrogate", br#""\ud800""#, Some(Syntax)),
        ("lone low surrogate", br#""\udc00""#, Some(Syntax)),
        ("surrogate pair", br#""\ud83d\ude00""#, None),
        ("two bytes that are not UTF-8", b"\"\xc3\x28\"", Some(NotUtf8)),
        ("overlong", b"\"\xc0\xaf\"", Some(NotUtf8)),
        ("half a character at the end", b"\"\xe2\x82", Some(NotUtf8)),
        ("two documents", b"{}{}", Some(Syntax)),
        ("empty", b"", Some(Truncated)),
        ("white space only", b" \n", Some(Truncated)),
        ("white space around", b" \t\r\n1 ", None),
        ("other white space", b"\x0c1", Some(Syntax)),
        ("1e400", b"1e400", Some(NumberRange)),
        ("-1e400", b"-1e400", Some(NumberRange)),
        ("1e308", b"1e308", None),
        ("minus zero", b"-0", None),
        ("20 digits that fit", b"18446744073709551615", None),
        ("20 digits that do not fit", b"18446744073709551616", Some(NumberRange)),
        ("the smallest integer", b"-9223372036854775808", None),
        ("one below it", b"-9223372036854775809", Some(NumberRange)),
        ("a large integer in a list", b"[1,100000000000000000000]", Some(NumberRange)),
        ("digits in a string", b"\"100000000000000000000\"", None),
        ("digits behind an escaped quote", br#""\"100000000000000000000""#, None),
        ("long fraction", b"0.1000000000000000055511151231257827", None),
        ("leading zero", b"01", Some(Syntax)),
        ("leading plus", b"+1", Some(Syntax)),
        ("bare fraction", b".5", Some(Syntax)),
        ("raw control character", b"\"\n\"", Some(Syntax)),
        ("raw NUL", b"\"\0\"", Some(Syntax)),
        ("name without quotes", b"{a:1}", Some(Syntax)),
        ("object cut off", br#"{"a":"#, Some(Truncated)),
    ] {
        assert_eq!(problem(text), expected, "{name}");
    }
}

// covers: ENV-BODY-11
#[test]
fn depth_is_bounded_before_anything_is_built() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)).into_bytes();
    for (name, text, expected) in [
        ("32 arrays", nested(32), None),
        ("33 arrays", nested(33), Some(JsonProblem::TooDeep)),
        ("32 objects", objects(32), None),
        ("33 objects", objects(33), Some(JsonProblem::TooDeep)),
        ("100,000 arrays", nested(100_000), Some(JsonProblem::TooDeep)),
        ("1 MiB of [", vec![b'['; 1 << 20], Some(JsonProblem::TooDeep)),
        ("brackets in a string", [b"\"", &[b'['; 100][..], b"\""].concat(), None),
        ("many arrays beside each other", format!("[{}[]]", "[],".repeat(100)).into_bytes(), None),
    ] {
        assert_eq!(problem(&text), expected, "{name}");
    }
    let unlimited = Limits { depth: usize::MAX, values: usize::MAX };
    assert!(parse(&nested(64), unlimited).is_ok());
    assert_eq!(parse(&nested(65), unlimited).unwrap_err().problem, JsonProblem::TooDeep);
}

#[test]
fn the_number_of_values_is_bounded() {
    let limits = Limits { depth: 4, values: 4 };
    for (text, accepted) in [
        ("[1,2,3]", true),
        ("[1,2,3,4]", false),
        (r#"{"a":1,"b":[]}"#, true),
        (r#"{"a":1,"b":[1]}"#, true),
        (r#"{"a":1,"b":[1,2]}"#, false),
        (r#""1,2,3,4,5""#, true),
    ] {
        assert_eq!(parse(text.as_bytes(), limits).is_ok(), accepted, "{text}");
    }
}

#[test]
fn an_error_says_where_and_quotes_nothing() {
    for (text, expected) in [
        (&b"{\"secret\": x}"[..], "not valid JSON at byte 11"),
        (b"{\n  \"a\": 1,\n  x}", "not valid JSON at byte 14"),
        (b"{\"a\"", "JSON ends too early at byte 4"),
        (b"\"ab\xff\"", "JSON is not UTF-8 at byte 3"),
        (b"[[1],[99999999999999999999]]", "JSON number out of range at byte 6"),
    ] {
        assert_eq!(parse(text, Limits::default()).unwrap_err().to_string(), expected);
    }
}

#[test]
fn integers_keep_every_digit() {
    for (text, expected) in [
        ("9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.0", json!(1.0)),
        ("1e2", json!(100.0)),
    ] {
        assert_eq!(parse(text.as_bytes(), Limits::default()), Ok(expected), "{text}");
    }
}

/// A JSON value with unique names.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn a_string_ends_at_the_first_byte_that_is_not_plain() {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    for byte in 0..=u8::MAX {
        for place in 0..20 {
            // What follows must not be taken for it, nor what comes before: bytes one beside a special one among them.
            for around in [b'a', b'!', b'#', b'[', b']', 0x20, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut text = [around; 20];
                text[place] = byte;
                let expected = text.iter().position(is_special).unwrap_or(20);
                assert_eq!(super::plain_len(&text), expected, "{byte} at {place} among {around}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_string_ends_where_bytes_say(text in proptest::collection::vec(prop_oneof![any::<u8>(), 0x1e_u8..0x24], 0..40)) {
        let expected = text.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(text.len());
        prop_assert_eq!(super::plain_len(&text), expected);
    }

    #[test]
    fn what_serde_json_writes_is_read_back(value in value()) {
        let text = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(parse(&text, Limits::default()), Ok(value));
    }

    #[test]
    fn nothing_is_accepted_that_serde_json_refuses(text in r#"[\[\]{}:,"\\u0-9a-e.+ -]{0,24}"#) {
        let strict = parse(text.as_bytes(), Limits::default());
        let lenient = serde_json::from_str::<Value>(&text);
        if let Ok(value) = strict {
            prop_assert_eq!(lenient.ok(), Some(value));
        }
    }
}
