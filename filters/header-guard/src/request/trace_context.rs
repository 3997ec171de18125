//! Trace context: what is none is removed, and whoever comes next begins a trace of its own. Nobody is refused for it
//! (W3C Trace Context, level 1, sections 3.2 and 3.3).

use portcullis_core::headers::Headers;

use crate::bytes::list;
use crate::policy::Edit;

const TRACE_PARENT: &[u8] = b"traceparent";
const TRACE_STATE: &[u8] = b"tracestate";
const BAGGAGE: &[u8] = b"baggage";

/// Members of a `tracestate` (section 3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;

/// What everybody has to pass on of a `tracestate` (section 3.3.1.5); nothing asks for more.
const MAX_STATE_BYTES: usize = 512;

/// What everybody has to pass on of `baggage` (W3C Baggage section 3.3.2).
const MAX_BAGGAGE_MEMBERS: usize = 64;
const MAX_BAGGAGE_BYTES: usize = 8192;

/// Which fields of a trace context go on, apart from those that are removed whatever they say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub parent: bool,
    pub state: bool,
}

/// Removes a `traceparent` that is not single and valid, and a `tracestate` that isn't, or that belongs to none.
/// `parent` is the `traceparent` if there is a single one.
pub(super) fn keep_valid(
    headers: &Headers,
    sent: Sent,
    parent: Option<&[u8]>,
    edit: &mut dyn FnMut(Edit<'_>),
) {
    let has_parent = sent.parent && parent.is_some_and(is_trace_parent);
    if sent.parent && !has_parent {
        edit(Edit::Remove(TRACE_PARENT));
    }
    if sent.state && !(has_parent && is_trace_state(headers.all(TRACE_STATE))) {
        edit(Edit::Remove(TRACE_STATE));
    }
}

/// Removes `baggage` that is larger than what everybody has to pass on: it goes into every request that follows.
pub(super) fn bound_baggage(headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) {
    let mut size = Size::default();
    let fits =
        headers.all(BAGGAGE).all(|value| size.add(value, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS, |_| true));
    if !fits {
        edit(Edit::Remove(BAGGAGE));
    }
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal digits. Later versions may append to that (section
/// 4.3), but no comma: that is where the proxy has joined two.
fn is_trace_parent(value: &[u8]) -> bool {
    let Some((known, later)) = value.split_first_chunk::<55>() else {
        return false;
    };
    // Counted to the end, so that the compiler looks at sixteen bytes at a time.
    let digits = known.iter().fold(0_u8, |count, byte| count.wrapping_add(u8::from(is_hex(byte))));
    let has_dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
    let [version, trace, parent] = [0..2, 3..35, 36..52].map(|part| known.get(part).unwrap_or_default());
    if digits != 52 || !has_dashes {
        return false;
    }
    let ends_well = match version {
        b"ff" => false,
        b"00" => later.is_empty(),
        _ => {
            later.is_empty()
                || later.starts_with(b"-")
                    && later.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
        }
    };
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    ends_well && !is_zero(trace) && !is_zero(parent)
}

const fn is_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// All fields are one list. A key may be there twice: the specification's own tests let both stay.
fn is_trace_state<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut size = Size::default();
    values.all(|value| size.add(value, MAX_STATE_BYTES, MAX_STATE_MEMBERS, is_state_member))
}

fn is_state_member(member: &[u8]) -> bool {
    let mut parts = member.splitn(2, |byte| *byte == b'=');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
        return false;
    };
    let is_value = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    is_state_key(key) && (1..=256).contains(&value.len()) && value.iter().all(is_value)
}

/// A name, or `tenant@system` (section 3.3.1.3.1).
fn is_state_key(key: &[u8]) -> bool {
    let mut parts = key.splitn(2, |byte| *byte == b'@');
    match (parts.next().unwrap_or_default(), parts.next()) {
        (name, None) => is_key_part(name, 256, false),
        (tenant, Some(system)) => is_key_part(tenant, 241, true) && is_key_part(system, 14, false),
    }
}

fn is_key_part(part: &[u8], max: usize, may_begin_with_digit: bool) -> bool {
    let begins_well =
        part.first().is_some_and(|b| b.is_ascii_lowercase() || may_begin_with_digit && b.is_ascii_digit());
    let is_legal = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    begins_well && part.len() <= max && part.iter().all(is_legal)
}

/// How much of a list there is, over all fields of its name.
#[derive(Default)]
struct Size {
    bytes: usize,
    members: usize,
}

impl Size {
    /// Whether the list is still within its bounds and well-formed with the members of one more field.
    fn add(
        &mut self,
        value: &[u8],
        max_bytes: usize,
        max_members: usize,
        is_member: fn(&[u8]) -> bool,
    ) -> bool {
        // A comma between two fields, as whoever joins them writes it.
        let comma = usize::from(self.bytes > 0);
        self.bytes = self.bytes.saturating_add(comma).saturating_add(value.len());
        self.bytes <= max_bytes
            && list(value).all(|member| {
                self.members = self.members.saturating_add(1);
                self.members <= max_members && is_member(member)
            })
    }
}

#[cfg(test)]
mod tests;
