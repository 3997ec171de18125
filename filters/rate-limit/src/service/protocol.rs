//! The messages of Envoy's rate-limit service: `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`.

use std::time::Duration;

use portcullis_core::protobuf::{Message, Reader, Wire};

/// Full name of the service.
pub const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";
/// Its method.
pub const METHOD: &str = "ShouldRateLimit";

/// What a limit is told apart by: pairs of key and value, from the most general one on.
pub type Descriptor = Vec<(String, String)>;

/// What the service says of one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What was asked for is granted.
    Ok {
        /// How long it is worth something, if the service says so.
        reset: Option<Duration>,
    },
    /// It is refused.
    OverLimit {
        /// How long nothing will be granted, if the service says so.
        reset: Option<Duration>,
    },
}

/// `RateLimitRequest`: may each of the descriptors have this many more hits?
#[must_use]
pub fn request(domain: &str, descriptors: &[Descriptor], hits: u32) -> Message {
    let mut request = Message::default().bytes(1, domain);
    for descriptor in descriptors {
        let mut message = Message::default();
        for (key, value) in descriptor {
            message = message.bytes(1, Message::default().bytes(1, key).bytes(2, value));
        }
        request = request.bytes(2, message);
    }
    request.varint(3, hits.into())
}

/// Reads a `RateLimitResponse` to a question about `asked` descriptors: a status for each.
///
/// Services may leave the statuses out (Limitador does); then the overall code is meant for each. None for anything else
/// than that: a status too few or too many, or a code that is neither "OK" nor "over limit".
#[must_use]
pub fn response(message: &[u8], asked: usize) -> Option<Vec<Status>> {
    let mut overall = 0;
    let mut statuses = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Varint(code)) => overall = code,
            (1, _) => return None,
            (2, Wire::Bytes(status)) if statuses.len() < asked => statuses.push(descriptor_status(status)?),
            (2, _) => return None,
            _ => {}
        }
    }
    if statuses.is_empty() {
        return Some(vec![status(overall, None)?; asked]);
    }
    (statuses.len() == asked).then_some(statuses)
}

/// `RateLimitResponse.DescriptorStatus`: code 1, duration until reset 4.
fn descriptor_status(message: &[u8]) -> Option<Status> {
    let (mut code, mut reset) = (0, None);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Varint(number)) => code = number,
            (4, Wire::Bytes(message)) => reset = Some(duration(message)?),
            (1 | 4, _) => return None,
            _ => {}
        }
    }
    status(code, reset)
}

const fn status(code: u64, reset: Option<Duration>) -> Option<Status> {
    match code {
        1 => Some(Status::Ok { reset }),
        2 => Some(Status::OverLimit { reset }),
        // 0 is "unknown"; there are no others.
        _ => None,
    }
}

/// `google.protobuf.Duration`: seconds 1, nanoseconds 2.
fn duration(message: &[u8]) -> Option<Duration> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Varint(number)) => seconds = number,
            (2, Wire::Varint(number)) => nanos = number,
            _ => return None,
        }
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    // 10,000 years are the most that the message may say; a negative number is larger.
    (seconds <= 315_576_000_000).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status_message(code: u64, seconds: Option<u64>) -> Message {
        let message = Message::default().varint(1, code).bytes(2, b"limit").varint(3, 7);
        match seconds {
            Some(seconds) => message.bytes(4, Message::default().varint(1, seconds)),
            None => message,
        }
    }

    #[test]
    fn a_question_names_domain_descriptors_and_hits() {
        let descriptor = vec![("generic_key".to_owned(), "a".to_owned()), ("sub".to_owned(), "b".to_owned())];
        let message = request("d", &[descriptor], 300);
        let expected =
            b"\x0a\x01d\x12\x1c\x0a\x10\x0a\x0bgeneric_key\x12\x01a\x0a\x08\x0a\x03sub\x12\x01b\x18\xac\x02";
        assert_eq!(message.as_ref(), expected);
    }

    // covers: ENV-RL-05
    #[test]
    fn an_answer_has_a_status_for_each_descriptor_or_one_for_all() {
        let ok = Status::Ok { reset: None };
        let over = |secs| Status::OverLimit { reset: Some(Duration::from_secs(secs)) };
        let overall = |code| Message::default().varint(1, code);
        for (name, message, asked, expected) in [
            ("OK for all", overall(1), 2, Some(vec![ok, ok])),
            ("over for all", overall(2), 1, Some(vec![Status::OverLimit { reset: None }])),
            ("unknown", overall(0), 1, None),
            ("a code that does not exist", overall(3), 1, None),
            ("nothing", Message::default(), 1, None),
            (
                "one of two",
                overall(2).bytes(2, status_message(1, None)).bytes(2, status_message(2, Some(9))),
                2,
                Some(vec![ok, over(9)]),
            ),
            ("too few", overall(1).bytes(2, status_message(1, None)), 2, None),
            (
                "too many",
                overall(1).bytes(2, status_message(1, None)).bytes(2, status_message(1, None)),
                1,
                None,
            ),
            ("an unknown status", overall(1).bytes(2, status_message(0, None)), 1, None),
            ("a status without a code", overall(1).bytes(2, b""), 1, None),
            ("a negative time", overall(1).bytes(2, status_message(1, Some(u64::MAX))), 1, None),
            ("other fields", overall(1).bytes(4, b"body").varint(9, 1), 1, Some(vec![ok])),
        ] {
            assert_eq!(response(message.as_ref(), asked), expected, "{name}");
        }
        for garbage in [&b"\xff"[..], b"\x0a\x01", b"\x08", b"\x12\x05ab", b"<html>"] {
            assert_eq!(response(garbage, 1), None);
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_more_than_was_asked(message: Vec<u8>, asked in 0_usize..4) {
            if let Some(statuses) = response(&message, asked) {
                prop_assert_eq!(statuses.len(), asked);
            }
        }
    }
}
