//! What a request may say: one pass over its fields, no allocation unless something is to be changed or refused, or a
//! cookie is one of a session.

use std::collections::BTreeMap;

use portcullis_core::headers::Headers;
use portcullis_core::{ConfigError, Denial, Request};

use crate::bytes::{self, NameForm, list};
use crate::config::RequestConfig;
use crate::data::{Copies, KNOWN, STRIPPED};
use crate::denials;
use crate::names::{Builder, NameTable, Pattern};
use crate::policy::{Edit, patterns};
use crate::syntax::{Fault, Syntax, is_request_id};
use crate::zone::Trusted;

use self::cookies::CookieRules;
use self::external_address::{ExternalAddress, ForwardedFor};
use self::trace_context::Sent;

mod cookies;
mod external_address;
mod forwarded_for;
pub mod target;
mod trace_context;

/// Ranges of one `Range` field; more are removed, as a server may ignore the field (RFC 9110 section 14.2).
const MAX_RANGES: usize = 16;

/// Fields that configuration cannot remove: without them a request has no meaning, or another one.
pub(crate) const INDISPENSABLE: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];

/// What `Connection` may name without harm: what belongs to the connection anyway.
const CONNECTION_OPTIONS: [&[u8]; 8] = [
    b"close",
    b"http2-settings",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// What is done with a field.
#[derive(Clone, Copy, Debug, Default)]
struct Treatment {
    strip: bool,
    /// A bit of its own if a second copy is refused, else 0.
    single: u64,
    syntax: Option<Syntax>,
    /// The name in [`KNOWN`], for the answer to the client.
    name: &'static str,
    special: Option<Special>,
}

/// Fields whose rules look at more than one value, after the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    ExternalAddress,
    ForwardedFor,
    ForwardedProto,
    RequestId,
    TraceParent,
    TraceState,
    Baggage,
    Cookie,
    Connection,
    Te,
    Range,
    ContentLength,
    TransferEncoding,
}

/// How many of them there are.
const SPECIALS: usize = 13;

impl Special {
    /// Whether the rule is about more than the field, so that it holds for one that is removed, too.
    const fn reaches_further(self) -> bool {
        matches!(self, Self::Connection | Self::ContentLength | Self::TransferEncoding)
    }
}

const SPECIAL: [(&str, Special); 11] = [
    ("x-request-id", Special::RequestId),
    ("traceparent", Special::TraceParent),
    ("tracestate", Special::TraceState),
    ("baggage", Special::Baggage),
    ("cookie", Special::Cookie),
    ("connection", Special::Connection),
    ("upgrade", Special::Connection),
    ("te", Special::Te),
    ("range", Special::Range),
    ("content-length", Special::ContentLength),
    ("transfer-encoding", Special::TransferEncoding),
];

const EXTERNAL_ADDRESS: &str = "x-envoy-external-address";

/// What Envoy writes itself at the edge: only its own entry of these fields is kept.
const REWRITTEN: [(&str, Special); 3] = [
    (EXTERNAL_ADDRESS, Special::ExternalAddress),
    ("x-forwarded-for", Special::ForwardedFor),
    ("x-forwarded-proto", Special::ForwardedProto),
];

/// What the pass has met.
#[derive(Clone, Copy, Default)]
struct Met<'a> {
    singles: u64,
    specials: u16,
    /// Those that there is more than one field of.
    repeated: u16,
    /// The last value of each, so that nobody has to search for it again.
    last: [&'a [u8]; SPECIALS],
    /// Whether there is anything but printable ASCII, so that each value has to be looked at for it.
    suspicious: bool,
}

impl<'a> Met<'a> {
    const fn bit(special: Special) -> u16 {
        1 << (special as u16 & 15)
    }

    const fn has(&self, special: Special) -> bool {
        self.specials & Self::bit(special) != 0
    }

    fn add(&mut self, special: Special, value: &'a [u8]) {
        let bit = Self::bit(special);
        self.repeated |= self.specials & bit;
        self.specials |= bit;
        if let Some(last) = self.last.get_mut(special as usize) {
            *last = value;
        }
    }

    fn last(&self, special: Special) -> &'a [u8] {
        self.last.get(special as usize).copied().unwrap_or_default()
    }

    /// The value of a field that is there once.
    fn single(&self, special: Special) -> Option<&'a [u8]> {
        let is_single = (self.specials & !self.repeated) & Self::bit(special) != 0;
        is_single.then(|| self.last(special))
    }
}

/// The rules for requests of one kind of peer.
#[derive(Debug)]
pub struct Rules {
    table: NameTable<Treatment>,
    /// What this peer may send although a list names it, and may send as a trailer.
    kept: Vec<Pattern>,
    cookies: CookieRules,
    external_address: ExternalAddress,
    /// How many entries of `x-forwarded-for` are known to be true.
    proxies: usize,
    /// The only fields that may pass, if that is how the operator wants it.
    allowed: Option<NameTable<Treatment>>,
}

impl Rules {
    /// Rules for strangers, or for a trusted proxy that may also send the fields of `trusted`.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no name, for a name that is to be both removed and kept, for one that a request
    /// can't do without, and for options about cookies that are out of their bounds.
    pub fn new(config: &RequestConfig, trusted: Option<&Trusted>) -> Result<Self, ConfigError> {
        let remove = patterns("remove", &config.remove)?;
        let keep = patterns("keep", &config.keep)?;
        check_removable("remove", &remove, &keep)?;
        let hops = trusted.and_then(|trusted| trusted.hops);
        let mut table = known_fields();
        for (name, group) in STRIPPED {
            // Of two accounts of one way, only that with a known number of entries can be cut to what is true.
            let is_second_account = hops.is_some() && *name == "forwarded";
            let believed = trusted.is_some() && group.is_a_trusted_proxys() && !is_second_account;
            if let (false, Ok(pattern)) = (believed, Pattern::parse(name)) {
                table.change(&pattern, |treatment| treatment.strip = true);
            }
        }
        for (name, special) in REWRITTEN {
            if trusted.is_none() || (hops.is_some() && special == Special::ForwardedFor) {
                let own = Treatment { special: Some(special), ..Treatment::default() };
                table.change(&Pattern::Exact(name.into()), |treatment| *treatment = own);
            }
        }
        let trusted_keep = trusted.map(|trusted| trusted.keep.iter().cloned());
        let kept: Vec<Pattern> = keep.into_iter().chain(trusted_keep.into_iter().flatten()).collect();
        // Ordered: the wide before the narrow, so that the narrow has the last word.
        let mut operators: BTreeMap<Pattern, bool> = BTreeMap::new();
        operators.extend(kept.iter().map(|pattern| (pattern.clone(), false)));
        operators.extend(remove.into_iter().map(|pattern| (pattern, true)));
        for (pattern, strip) in operators {
            table.change(&pattern, |treatment| {
                treatment.strip = strip;
                // Removed or kept, the field is not rewritten.
                treatment.special = treatment
                    .special
                    .filter(|special| !matches!(special, Special::ForwardedFor | Special::ForwardedProto));
            });
        }
        let allowed = patterns("allow", &config.allow)?;
        let allowed = if allowed.is_empty() { None } else { Some(allow_list(allowed)) };
        // Envoy is the last of the proxies.
        let proxies = hops.unwrap_or_default().saturating_add(1);
        Ok(Self {
            table: table.build(),
            kept,
            cookies: CookieRules::new(config)?,
            external_address: ExternalAddress::default(),
            proxies,
            allowed,
        })
    }

    /// Removes every trailer that the operator does not name under `keep`: nobody judges trailers, and a recipient
    /// that merges them into the head would believe them (RFC 9110 section 6.5.1). What frames and routes a request
    /// is never one.
    pub fn clear_trailers(&self, trailers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) {
        for (name, _) in trailers.iter() {
            let kept = self.kept.iter().any(|kept| kept.matches(name));
            if !kept || INDISPENSABLE.contains(&name) {
                edit(Edit::Remove(name));
            }
        }
    }

    /// Looks at every field of a request once. The edits remove and rewrite what this peer may not say; the denial
    /// is the first reason to refuse the request, if there is one. Doing it again to what comes out of it changes
    /// nothing more, and fields that no list names stay as they are, in their order.
    pub fn inspect(
        &self,
        request: &Request,
        source: &dyn Fn() -> Option<Vec<u8>>,
        edit: &mut dyn FnMut(Edit<'_>),
    ) -> Option<Denial> {
        let mut met = Met { suspicious: !request.headers().is_printable(), ..Met::default() };
        let mut denial = None;
        for (name, value) in request.headers().iter() {
            if let Err(found) = self.inspect_field(name, value, &mut met, edit) {
                denial.get_or_insert(found);
            }
        }
        denial = denial.or_else(|| framing(request, &met));
        let method = request.method();
        if [&b"TRACE"[..], b"TRACK"].iter().any(|refused| method.eq_ignore_ascii_case(refused)) {
            denial.get_or_insert_with(denials::method_not_allowed);
        }
        let refused = self.inspect_together(request.headers(), source, &met, edit);
        denial.or(refused)
    }

    fn inspect_field<'a>(
        &self,
        name: &[u8],
        value: &'a [u8],
        met: &mut Met<'a>,
        edit: &mut dyn FnMut(Edit<'_>),
    ) -> Result<(), Denial> {
        if self
            .allowed
            .as_ref()
            .is_some_and(|allowed| !name.starts_with(b":") && allowed.find(name).is_none())
        {
            edit(Edit::Remove(name));
        }
        // A name of the table is well-formed; only the others have to be looked at.
        let exact = self.table.find_exact(name);
        let form = if exact.is_some() { NameForm::Plain } else { bytes::name_form(name) };
        let treatment = exact.or_else(|| self.table.find_prefix(name));
        match treatment {
            Some(treatment) => {
                if treatment.strip {
                    edit(Edit::Remove(name));
                }
                if let Some(special) = treatment.special
                    && (!treatment.strip || special.reaches_further())
                {
                    met.add(special, value);
                }
                if met.singles & treatment.single != 0 {
                    return Err(denials::duplicate(treatment.name));
                }
                met.singles |= treatment.single;
            }
            // CGI, WSGI and PHP read `x_user_id` as `x-user-id`: a second way to every name on the lists.
            None if form == NameForm::Underscore => edit(Edit::Remove(name)),
            // A pseudo-header that requests don't have.
            None if name.starts_with(b":") => return Err(denials::invalid_name()),
            None => {}
        }
        if form == NameForm::Invalid {
            return Err(denials::invalid_name());
        }
        if let Some((treatment, syntax)) =
            treatment.and_then(|treatment| Some((treatment, treatment.syntax?)))
            && let Err(fault) = if met.suspicious { syntax.check(value) } else { syntax.check_ascii(value) }
        {
            return Err(faulty(treatment.name, syntax, fault));
        }
        if met.suspicious && bytes::has_control(value) {
            return Err(denials::control_character());
        }
        Ok(())
    }

    /// The rules that look at several fields, or at all of one name; only for names that are there.
    fn inspect_together(
        &self,
        headers: &Headers,
        source: &dyn Fn() -> Option<Vec<u8>>,
        met: &Met<'_>,
        edit: &mut dyn FnMut(Edit<'_>),
    ) -> Option<Denial> {
        let client = if met.has(Special::ForwardedFor) {
            forwarded_for::keep_last(headers, met.single(Special::ForwardedFor), self.proxies, edit)
        } else {
            None
        };
        if let Some(address) = met.single(Special::ExternalAddress) {
            let is_only = met.single(Special::ForwardedFor) == client;
            let forwarded_for = client.map(|entry| ForwardedFor { entry, is_only });
            let is_peers = self.external_address.is_peers(address, forwarded_for, source);
            keep_if(is_peers, EXTERNAL_ADDRESS, edit);
        } else if met.has(Special::ExternalAddress) {
            edit(Edit::Remove(EXTERNAL_ADDRESS.as_bytes()));
        }
        if met.has(Special::ForwardedProto) {
            agree_on_scheme(met.single(Special::ForwardedProto), headers, edit);
        }
        if met.has(Special::RequestId) {
            keep_if(met.single(Special::RequestId).is_some_and(is_request_id), "x-request-id", edit);
        }
        let sent = Sent { parent: met.has(Special::TraceParent), state: met.has(Special::TraceState) };
        if sent.parent || sent.state {
            trace_context::keep_valid(headers, sent, met.single(Special::TraceParent), edit);
        }
        if met.has(Special::Baggage) {
            trace_context::bound_baggage(headers, edit);
        }
        if met.has(Special::Te) {
            keep_trailers_only(headers, edit);
        }
        if met.has(Special::Range) {
            let is_short = |value| list(value).count() <= MAX_RANGES;
            keep_if(met.single(Special::Range).is_some_and(is_short), "range", edit);
        }
        let connection =
            if met.has(Special::Connection) { self.inspect_connection(headers, edit) } else { None };
        connection.or_else(|| {
            if !met.has(Special::Cookie) {
                return None;
            }
            let checked = match met.single(Special::Cookie) {
                Some(only) => self.cookies.check([only]),
                None => self.cookies.check(headers.all(b"cookie")),
            };
            checked.err()
        })
    }

    /// `Connection` and `Upgrade` are for this hop; what is left of them is a WebSocket's handshake. A field that
    /// `Connection` names goes too (RFC 9110 section 7.6.1), but a client that names a field which this or another
    /// filter judges wants the next hop to drop it.
    fn inspect_connection(&self, headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) -> Option<Denial> {
        let mut upgrades = false;
        let mut denial = None;
        for option in headers.all(b"connection").flat_map(list) {
            let option = option.to_ascii_lowercase();
            upgrades |= option == b"upgrade";
            if CONNECTION_OPTIONS.contains(&option.as_slice()) {
                continue;
            }
            if self.table.find(&option).is_some() {
                denial = Some(denials::connection());
            } else if headers.contains(&option) {
                edit(Edit::Remove(&option));
            }
        }
        let to_websocket = headers
            .single(b"upgrade")
            .ok()
            .flatten()
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        if !(upgrades && to_websocket) {
            remove_if_present(headers, b"connection", edit);
            remove_if_present(headers, b"upgrade", edit);
        } else if !headers
            .single(b"connection")
            .ok()
            .flatten()
            .is_some_and(|v| v.eq_ignore_ascii_case(b"upgrade"))
        {
            edit(Edit::Set(b"connection", b"upgrade"));
        }
        denial
    }
}

/// Refuses what a request can't do without, and what is to be both removed and kept, in a list of names to remove.
pub(crate) fn check_removable(list: &str, remove: &[Pattern], keep: &[Pattern]) -> Result<(), ConfigError> {
    for (index, pattern) in remove.iter().enumerate() {
        let problem = if INDISPENSABLE.iter().any(|name| pattern.matches(name)) {
            "expected a field that a request can do without"
        } else if keep.contains(pattern) {
            "expected a name that is not in `keep` too"
        } else {
            continue;
        };
        return Err(ConfigError::new(format!("{list}[{index}]"), problem));
    }
    Ok(())
}

/// The operator's list, and what a request has none the less: what frames it, what the proxy writes, and what a WebSocket's
/// handshake needs, which other rules look after.
fn allow_list(patterns: Vec<Pattern>) -> NameTable<Treatment> {
    let mut table = Builder::new();
    let proxys = REWRITTEN.iter().map(|(name, _)| name.as_bytes());
    let others: [&[u8]; 4] = [b"x-request-id", b"te", b"connection", b"upgrade"];
    let handshake = Pattern::Prefix(b"sec-websocket-".to_vec());
    let always =
        INDISPENSABLE.into_iter().chain(others).chain(proxys).map(|name| Pattern::Exact(name.to_vec()));
    for pattern in patterns.into_iter().chain(always).chain([handshake]) {
        table.change(&pattern, |_| ());
    }
    table.build()
}

/// The table of [`KNOWN`], nothing stripped yet.
fn known_fields() -> Builder<Treatment> {
    let mut table = Builder::new();
    let mut bit = 1_u64;
    let mut authority = 0;
    for (name, copies, syntax) in KNOWN {
        let single = match (*name, copies) {
            // Two names of one thing.
            ("host", _) => authority,
            (_, Copies::One) => bit,
            (_, Copies::Many) => 0,
        };
        if *name == ":authority" {
            authority = single;
        }
        if single == bit {
            bit = bit.rotate_left(1);
        }
        let special = SPECIAL.iter().find(|(special, _)| special == name).map(|(_, special)| *special);
        let known = Treatment { strip: false, single, syntax: Some(*syntax), name, special };
        table.change(&Pattern::Exact(name.as_bytes().to_vec()), |treatment| *treatment = known);
    }
    table
}

fn faulty(name: &str, syntax: Syntax, fault: Fault) -> Denial {
    match (fault, syntax) {
        (Fault::Duplicate, _) => denials::duplicate(name),
        (Fault::Invalid, Syntax::Host) => denials::invalid_host(),
        (Fault::Invalid, Syntax::Expect) => denials::expectation(),
        (Fault::Invalid, Syntax::Length | Syntax::Chunked) => denials::framing(name, "syntax"),
        (Fault::Invalid, _) => denials::invalid_value(name),
    }
}

/// Where the body ends must be said in one way, and truthfully: everything else is request smuggling (RFC 9112
/// section 6.3). The proxy's codec refuses these too; this is the second net.
fn framing(request: &Request, met: &Met<'_>) -> Option<Denial> {
    if !met.has(Special::ContentLength) {
        return None;
    }
    if met.has(Special::TransferEncoding) {
        return Some(denials::framing("transfer-encoding", "with_content_length"));
    }
    let announces_body = request.headers().all(b"content-length").any(|length| length != b"0");
    (request.end_of_stream() && announces_body).then(|| denials::framing("content-length", "without_body"))
}

/// Envoy writes both `:scheme` and `x-forwarded-proto`. Where they differ one is the client's; then, and for
/// anything unknown, nobody is told that the connection was encrypted.
fn agree_on_scheme(forwarded: Option<&[u8]>, headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) {
    let encrypted = forwarded == Some(b"https") && headers.first(b":scheme") == Some(b"https");
    if !encrypted && forwarded != Some(b"http") {
        edit(Edit::Set(b"x-forwarded-proto", b"http"));
    }
}

/// Removes a field that is not single and valid; the request goes on without it.
fn keep_if(is_valid: bool, name: &str, edit: &mut dyn FnMut(Edit<'_>)) {
    if !is_valid {
        edit(Edit::Remove(name.as_bytes()));
    }
}

/// `TE: trailers` is what gRPC needs; other transfer codings are between two hops (RFC 9110 section 10.1.4).
fn keep_trailers_only(headers: &Headers, edit: &mut dyn FnMut(Edit<'_>)) {
    let name = b"te";
    if headers.single(name) == Ok(Some(b"trailers")) {
        return;
    }
    let mut options = headers.all(name).flat_map(list);
    let change = match options.any(|option| option.eq_ignore_ascii_case(b"trailers")) {
        true => Edit::Set(name, b"trailers"),
        false => Edit::Remove(name),
    };
    edit(change);
}

fn remove_if_present(headers: &Headers, name: &[u8], edit: &mut dyn FnMut(Edit<'_>)) {
    if headers.contains(name) {
        edit(Edit::Remove(name));
    }
}

#[cfg(test)]
mod tests;
