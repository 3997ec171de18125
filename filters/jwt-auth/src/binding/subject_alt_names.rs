//! The names in a certificate's subject alternative name extension (RFC 5280 section 4.2.1.6).
//!
//! The proxy's properties give the first name of a kind only, and another URI behind it would go unseen. The proxy has
//! parsed the certificate before; what is not the plain DER that it accepts is refused here.

/// OBJECT IDENTIFIER 2.5.29.17, its value in DER.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
/// `[3] EXPLICIT Extensions` of TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// `[2] IMPLICIT IA5String` of GeneralName.
const DNS_NAME: u8 = 0x82;
/// `[6] IMPLICIT IA5String` of GeneralName.
const URI: u8 = 0x86;

/// The names that can be an identity; others (e-mail, IP address ...) never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectAltNames {
    /// URIs.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
}

impl SubjectAltNames {
    /// Reads a certificate in DER; a certificate without the extension has no names. None if it can't be read, has
    /// the extension twice, or a URI or DNS name has other bytes than visible ASCII: a NUL ends a name for some
    /// readers and not for others (CVE-2025-66220).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Der(certificate).only(SEQUENCE)?;
        let mut body = certificate.expect(SEQUENCE)?;
        let mut found = None;
        while let Some((tag, value)) = body.next()? {
            if tag != EXTENSIONS {
                continue;
            }
            let mut extensions = value.only(SEQUENCE)?;
            while let Some((tag, mut extension)) = extensions.next()? {
                let id = extension.expect(OBJECT_IDENTIFIER)?;
                if tag != SEQUENCE {
                    return None;
                }
                if id.0 != SUBJECT_ALT_NAME {
                    continue;
                }
                let names = match extension.next()?? {
                    (BOOLEAN, _) => extension.expect(OCTET_STRING)?,
                    (OCTET_STRING, value) => value,
                    _ => return None,
                };
                if found.replace(Self::from_general_names(names)?).is_some() {
                    return None;
                }
            }
        }
        Some(found.unwrap_or_default())
    }

    fn from_general_names(names: Der<'_>) -> Option<Self> {
        let mut names = names.only(SEQUENCE)?;
        let mut found = Self::default();
        while let Some((tag, value)) = names.next()? {
            let list = match tag {
                URI => &mut found.uris,
                DNS_NAME => &mut found.dns_names,
                _ => continue,
            };
            let text = str::from_utf8(value.0).ok()?;
            if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            list.push(text.to_owned());
        }
        Some(found)
    }
}

/// DER that is still to be read.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element, its tag and value; none inside at the end, none outside for what is not DER. Tags above 30
    /// do not occur in certificates.
    #[expect(clippy::option_option, reason = "at its end, and not readable, are two things")]
    fn next(&mut self) -> Option<Option<(u8, Self)>> {
        let [tag, first, rest @ ..] = self.0 else {
            return self.0.is_empty().then_some(None);
        };
        let (len, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => rest
                .split_first()
                .map(|(len, rest)| (usize::from(*len), rest))
                .filter(|(len, _)| *len >= 0x80)?,
            0x82 => rest
                .split_first_chunk::<2>()
                .map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))
                .filter(|(len, _)| *len >= 0x100)?,
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        (tag & 0x1f != 0x1f).then_some(Some((*tag, Self(value))))
    }

    /// The next element, which must be of this kind.
    fn expect(&mut self, expected: u8) -> Option<Self> {
        self.next()?.filter(|(tag, _)| *tag == expected).map(|(_, value)| value)
    }

    /// The one element that this is, of this kind.
    fn only(mut self, expected: u8) -> Option<Self> {
        let value = self.expect(expected)?;
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn element(tag: u8, value: &[u8]) -> Vec<u8> {
        let len = value.len();
        let len = match u8::try_from(len) {
            Ok(len) if len < 0x80 => vec![len],
            Ok(len) => vec![0x81, len],
            Err(_) => [&[0x82][..], &u16::try_from(len).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &len, value].concat()
    }

    fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
        let flag = if critical { element(BOOLEAN, &[0xff]) } else { Vec::new() };
        element(SEQUENCE, &[element(OBJECT_IDENTIFIER, id), flag, element(OCTET_STRING, value)].concat())
    }

    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        let extensions = element(EXTENSIONS, &element(SEQUENCE, extensions));
        // Serial number, then what this reader skips.
        let body =
            [element(0xa0, &element(2, &[2])), element(2, &[7]), element(SEQUENCE, &[]), extensions].concat();
        element(SEQUENCE, &[element(SEQUENCE, &body), element(SEQUENCE, &[]), element(3, &[0])].concat())
    }

    /// The frame of a certificate with these names, tag and text.
    pub fn certificate(names: &[(u8, &str)]) -> Vec<u8> {
        let names: Vec<u8> = names.iter().flat_map(|(tag, name)| element(*tag, name.as_bytes())).collect();
        with_extensions(&extension(SUBJECT_ALT_NAME, false, &element(SEQUENCE, &names)))
    }

    // covers: JWT-POP-05, JWT-POP-06, JWT-POP-09
    #[test]
    fn names_are_read_by_their_type() {
        let long = format!("spiffe://prod/{}", "a".repeat(300));
        let names = |uris: &[&str], dns_names: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            Some(SubjectAltNames { uris: texts(uris), dns_names: texts(dns_names) })
        };
        for (name, found, expected) in [
            ("one URI", &[(URI, "spiffe://prod/a")][..], names(&["spiffe://prod/a"], &[])),
            ("all URIs", &[(URI, "a:1"), (URI, "a:2")], names(&["a:1", "a:2"], &[])),
            (
                "a URI and DNS names",
                &[(DNS_NAME, "a"), (URI, "a:1"), (DNS_NAME, "b")],
                names(&["a:1"], &["a", "b"]),
            ),
            ("a long URI", &[(URI, &long)], names(&[&long], &[])),
            (
                "e-mail, address and directory name",
                &[(0x81, "a.test"), (0x87, "1234"), (0xa4, "0\0")],
                names(&[], &[]),
            ),
            ("no name", &[], names(&[], &[])),
            ("NUL in a DNS name", &[(DNS_NAME, "admin.test\0.evil.test")], None),
            ("NUL at the end of a URI", &[(URI, "spiffe://prod/a\0")], None),
            ("white space", &[(DNS_NAME, "a b")], None),
            ("not ASCII", &[(DNS_NAME, "é.test")], None),
        ] {
            assert_eq!(SubjectAltNames::of(&certificate(found)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_a_certificate_has_no_names() {
        let names = element(SEQUENCE, &element(URI, b"a:1"));
        let once = extension(SUBJECT_ALT_NAME, true, &names);
        let other = extension(&[0x55, 0x1d, 0x0f], true, &[3, 2, 0, 1]);
        let good = with_extensions(&[other.clone(), once.clone()].concat());
        assert_eq!(SubjectAltNames::of(&good).unwrap().uris, ["a:1"]);
        assert_eq!(SubjectAltNames::of(&with_extensions(&other)), Some(SubjectAltNames::default()));
        assert_eq!(SubjectAltNames::of(&with_extensions(&[once.clone(), once].concat())), None, "twice");
        for len in 0..good.len() {
            assert_eq!(SubjectAltNames::of(&good[..len]), None, "the first {len} bytes");
        }
        assert_eq!(SubjectAltNames::of(&[&good[..], &[0]].concat()), None, "a byte behind it");
        for (name, bytes) in [
            ("indefinite length", &[0x30, 0x80, 0, 0][..]),
            ("a length that is too long", &[0x30, 0x81, 2, 0x30, 0]),
            ("a length of four bytes", &[0x30, 0x84, 0, 0, 0, 2, 0x30, 0]),
        ] {
            assert_eq!(SubjectAltNames::of(bytes), None, "{name}");
        }
    }
}
