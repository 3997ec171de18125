//! The head of a response, local replies included.

use crate::headers::Headers;

/// Response header fields with the status.
#[derive(Debug, Default)]
pub struct Response {
    headers: Headers,
    status: Option<u16>,
    end_of_stream: bool,
}

impl Response {
    /// From a header snapshot; `end_of_stream` when no body follows.
    #[must_use]
    pub fn new(headers: Headers, end_of_stream: bool) -> Self {
        Self { status: headers.first(b":status").and_then(status), headers, end_of_stream }
    }

    /// The header fields, `:status` included.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to apply edits. Pseudo-headers must stay as they are: the status is read once.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Whether the response has no body.
    #[must_use]
    pub const fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    /// `:status` as a number; none if it is not three digits.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether this is an interim response (RFC 9110 section 15.2), after which the final one comes.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, Some(100..200))
    }
}

fn status(digits: &[u8]) -> Option<u16> {
    let digits: &[u8; 3] = digits.try_into().ok()?;
    let add = |number: u16, digit: &u8| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number.checked_mul(10)?.checked_add(u16::from(value))
    };
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_three_digits() {
        for (value, status) in
            [("200", Some(200)), ("103", Some(103)), ("20", None), ("+20", None), ("abc", None)]
        {
            let response = Response::new([(":status", value)].into_iter().collect(), true);
            assert_eq!(response.status(), status, "{value}");
        }
    }
}
