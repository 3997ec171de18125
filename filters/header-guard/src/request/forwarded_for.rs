//! `X-Forwarded-For`: every proxy appends its peer on the right, so what is known is the right end of the list.

use portcullis_core::client;
use portcullis_core::headers::Headers;

use crate::policy::Edit;

const NAME: &[u8] = b"x-forwarded-for";

/// Keeps as many entries as there are proxies whose word counts, Envoy among them, from the right and up to the first one
/// that is no address; whatever stands left of them is the client's word. The last entry, which Envoy has written.
///
/// Several fields are one list in their order (RFC 9110 section 5.3); `single` is the value of the only one. Linear in the
/// size of the last entries.
pub fn keep_last<'a>(
    headers: &'a Headers,
    single: Option<&'a [u8]>,
    proxies: usize,
    edit: &mut dyn FnMut(Edit<'_>),
) -> Option<&'a [u8]> {
    // Nearly always Envoy's entry is the only one.
    if let Some(only) = single
        && is_address(only)
    {
        return Some(only);
    }
    let fields: Vec<&[u8]> = headers.all(NAME).collect();
    let entries = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
    let known: Vec<&[u8]> = entries
        .take(proxies)
        .map(<[u8]>::trim_ascii)
        .take_while(|entry| client::parse_peer(entry).is_some())
        .collect();
    let Some(last) = known.first() else {
        edit(Edit::Remove(NAME));
        return None;
    };
    let mut value = Vec::new();
    for entry in known.iter().rev() {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(entry);
    }
    if fields != [&value] {
        edit(Edit::Set(NAME, &value));
    }
    Some(last)
}

/// Whether a value is one address and nothing else.
fn is_address(value: &[u8]) -> bool {
    client::parse_peer(value).is_some() && value.trim_ascii().len() == value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these fields: the values of the name, and what is known to be Envoy's entry.
    fn kept(fields: &[&str], proxies: usize) -> (Vec<String>, Option<String>) {
        let mut headers: Headers = fields.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let before = headers.clone();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let last = keep_last(&before, before.single(NAME).ok().flatten(), proxies, &mut |edit| {
            edit.apply(&mut headers)
        })
        .map(text);
        if last.is_some() {
            keep_last(&headers, headers.single(NAME).ok().flatten(), proxies, &mut |edit| {
                panic!("again: {edit:?}")
            });
        }
        (headers.all(NAME).map(text).collect(), last)
    }

    // covers: HG-REQ-02
    #[test]
    fn as_many_entries_stay_as_there_are_proxies() {
        for (fields, proxies, left, last) in [
            (&["9.9.9.9"][..], 1, &["9.9.9.9"][..], Some("9.9.9.9")),
            (&["1.2.3.4, 9.9.9.9"], 1, &["9.9.9.9"], Some("9.9.9.9")),
            (&["1.2.3.4, 9.9.9.9"], 2, &["1.2.3.4, 9.9.9.9"], Some("9.9.9.9")),
            (&["6.6.6.6, 1.2.3.4, 9.9.9.9"], 2, &["1.2.3.4, 9.9.9.9"], Some("9.9.9.9")),
            (&["6.6.6.6", "1.2.3.4,9.9.9.9"], 2, &["1.2.3.4, 9.9.9.9"], Some("9.9.9.9")),
            (&["6.6.6.6,1.2.3.4", "::1"], 2, &["1.2.3.4, ::1"], Some("::1")),
            // What a proxy says that writes ports, too.
            (&["x, 1.2.3.4:567, 9.9.9.9"], 2, &["1.2.3.4:567, 9.9.9.9"], Some("9.9.9.9")),
            (&["[2001:db8::1]:567, 9.9.9.9"], 2, &["[2001:db8::1]:567, 9.9.9.9"], Some("9.9.9.9")),
            // Around the proxy: there are fewer than it would have written.
            (&["9.9.9.9"], 3, &["9.9.9.9"], Some("9.9.9.9")),
            // Left of what is no address nobody's word counts.
            (&["1.2.3.4, unknown, 9.9.9.9"], 3, &["9.9.9.9"], Some("9.9.9.9")),
            (&["1.2.3.4, , 9.9.9.9"], 3, &["9.9.9.9"], Some("9.9.9.9")),
            (&["1.2.3.4,"], 3, &[], None),
            (&["unknown"], 1, &[], None),
            (&["", "9.9.9.9"], 2, &["9.9.9.9"], Some("9.9.9.9")),
        ] {
            let found = kept(fields, proxies);
            assert_eq!(
                (found.0, found.1.as_deref()),
                (left.iter().map(|s| (*s).to_owned()).collect(), last),
                "{fields:?} {proxies}"
            );
        }
    }
}
