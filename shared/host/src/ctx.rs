//! What a filter may do with the current request besides answering with a [`Flow`].

use std::rc::Rc;
use std::time::Duration;

use portcullis_core::control::has_control_but_tab;
use portcullis_core::headers::{Headers, PrintableHeaders};
use portcullis_core::verdict::{Mode, Outcome};
use portcullis_core::{Denial, Flow, Identity, Verdict};

use crate::host::Host;

/// What the filters of one request know together. In a chain it passes in memory; between VMs the identity and
/// the verdicts pass through filter state.
#[derive(Debug, Default)]
pub struct Exchange {
    /// Who sent the request, once a filter has verified it.
    pub(crate) identity: Option<Rc<Identity>>,
    /// Whether the identity property was looked for already.
    pub(crate) identity_sought: bool,
    /// The operation, as in `GET /orders/{id}` or an operationId.
    pub(crate) operation: Option<String>,
    /// Verdicts so far, in order; those without an objection only for whoever logs.
    pub(crate) verdicts: Vec<Verdict>,
    /// Time that each filter's request-phase callbacks took, a filter once.
    pub(crate) timings: Vec<(&'static str, Duration)>,
    /// What filters changed of the request and found in the response, in order; kept for whoever logs.
    pub(crate) changes: Vec<Change>,
}

/// Something that a filter changed, or found and left: by name, never by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The filter.
    pub filter: &'static str,
    /// The name of a request's field, or a code of the filter's own as in `set-cookie.domain`.
    pub what: Vec<u8>,
}

/// Changes of one request that are kept; a client decides how many there are.
const MAX_CHANGES: usize = 16;

impl Exchange {
    /// Adds time to a filter's own: head and body, and several instances of it, are one number.
    pub(crate) fn took(&mut self, filter: &'static str, time: Duration) {
        match self.timings.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, total)) => *total = total.saturating_add(time),
            None => self.timings.push((filter, time)),
        }
    }

    /// Notes a change, once.
    pub(crate) fn changed(&mut self, filter: &'static str, what: &[u8]) {
        let is_known = |change: &Change| change.filter == filter && change.what == what;
        if self.changes.len() < MAX_CHANGES && !self.changes.iter().any(is_known) {
            self.changes.push(Change { filter, what: what.to_vec() });
        }
    }
}

/// A change to the header fields of the current direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderEdit<'a> {
    /// Make this the only field of its name.
    Set(&'a [u8], &'a [u8]),
    /// Add a field beside others of its name.
    Append(&'a [u8], &'a [u8]),
    /// Remove every field of this name.
    Remove(&'a [u8]),
}

impl HeaderEdit<'_> {
    /// Applies the change to a snapshot.
    pub fn apply(self, headers: &mut Headers) {
        match self {
            Self::Set(name, value) => headers.set(name, value),
            Self::Append(name, value) => headers.append(name, value),
            Self::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

/// What an edit does with its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Set,
    Append,
    Remove,
}

impl Kind {
    const fn edit<'a>(self, name: &'a [u8], value: &'a [u8]) -> HeaderEdit<'a> {
        match self {
            Self::Set => HeaderEdit::Set(name, value),
            Self::Append => HeaderEdit::Append(name, value),
            Self::Remove => HeaderEdit::Remove(name),
        }
    }
}

/// Changes in their order. Their names and values lie in one buffer: an allocation for each would cost more than the
/// change. Fields that a filter hands over as a list are not even copied, if they are the first change.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Fields to add, before all else.
    shared: Option<PrintableHeaders>,
    kinds: Vec<Kind>,
    fields: Headers,
}

static NO_FIELDS: Headers = Headers::new();

impl Edits {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().len().saturating_add(self.kinds.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All in their order.
    pub fn iter(&self) -> impl Iterator<Item = HeaderEdit<'_>> {
        let shared = self.shared().iter().map(|(name, value)| HeaderEdit::Append(name, value));
        let own = self.kinds.iter().zip(self.fields.iter());
        shared.chain(own.map(|(kind, (name, value))| kind.edit(name, value)))
    }

    fn shared(&self) -> &Headers {
        self.shared.as_ref().map_or(&NO_FIELDS, PrintableHeaders::headers)
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Applies those from `from` on to a snapshot, and says the name of each. Setting a field that is not there becomes
    /// adding it, which costs the proxy one call instead of two.
    #[inline(never)]
    pub(crate) fn apply_simplified(
        &mut self,
        from: usize,
        headers: &mut Headers,
        each: &mut dyn FnMut(&[u8]),
    ) {
        for (name, value) in self.shared().iter().skip(from) {
            headers.append(name, value);
            each(name);
        }
        let from = from.saturating_sub(self.shared().len());
        for (kind, (name, value)) in self.kinds.iter_mut().zip(self.fields.iter()).skip(from) {
            if *kind == Kind::Set && !headers.contains(name) {
                *kind = Kind::Append;
            }
            kind.edit(name, value).apply(headers);
            each(name);
        }
    }

    fn append_all(&mut self, fields: &PrintableHeaders) {
        if self.is_empty() {
            self.shared = Some(fields.clone());
        } else {
            fields.headers().iter().for_each(|(name, value)| self.push(Kind::Append, name, value));
        }
    }

    fn push(&mut self, kind: Kind, name: &[u8], value: &[u8]) {
        let before = self.fields.len();
        self.fields.append(name, value);
        // INVARIANT: a kind for each field; one that the buffer has no room for is in neither.
        if self.fields.len() > before {
            self.kinds.push(kind);
        }
    }
}

/// One filter's view of the exchange. Made by the runner for each callback.
pub struct Ctx<'a> {
    host: &'a dyn Host,
    filter: &'static str,
    exchange: &'a mut Exchange,
    edits: &'a mut Edits,
}

impl<'a> Ctx<'a> {
    /// For the runner and for tests.
    pub fn new(
        host: &'a dyn Host,
        filter: &'static str,
        exchange: &'a mut Exchange,
        edits: &'a mut Edits,
    ) -> Self {
        Self { host, filter, exchange, edits }
    }

    /// The proxy.
    #[must_use]
    pub fn host(&self) -> &'a dyn Host {
        self.host
    }

    /// Makes `value` the only field of `name` (lower-case) in the current direction. Edits take effect when the
    /// callback returns, unless the request is denied; later filters of a chain see them.
    ///
    /// A value with a control character would be, or would end, another field (CWE-113): then there is no field of the
    /// name at all, neither this nor the sender's. Other bytes than visible ASCII are for the filter to encode.
    pub fn set_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        if has_control_but_tab(value) {
            return self.edits.push(Kind::Remove, name, b"");
        }
        self.edits.push(Kind::Set, name, value);
    }

    /// Adds a field beside others of its name; none with a control character in its value.
    pub fn append_header(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        if !has_control_but_tab(value) {
            self.edits.push(Kind::Append, name.as_ref(), value);
        }
    }

    /// Adds fields beside others of their names, without a copy if they are the first change.
    pub fn append_headers(&mut self, fields: &PrintableHeaders) {
        self.edits.append_all(fields);
    }

    /// Removes every field called `name`. Only worth calling for fields that are there.
    pub fn remove_header(&mut self, name: impl AsRef<[u8]>) {
        self.edits.push(Kind::Remove, name.as_ref(), b"");
    }

    /// Applies a rule's mode to what the rule found: `enforce` refuses with it, `report` notes it and goes on,
    /// `off` goes on.
    pub fn decide(&mut self, mode: Mode, denial: Denial) -> Flow {
        match mode {
            Mode::Enforce => denial.into(),
            Mode::Report => {
                self.report(denial);
                Flow::Continue
            }
            Mode::Off => Flow::Continue,
        }
    }

    /// Notes for the audit event what was changed in a response, or found there and left, by a code of the filter's own.
    pub fn note(&mut self, what: &'static str) {
        self.exchange.changed(self.filter, what.as_bytes());
    }

    /// What was noted, and which fields of the request were changed.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.exchange.changes
    }

    /// Notes a report verdict.
    pub fn report(&mut self, denial: Denial) {
        self.exchange.verdicts.push(Verdict {
            filter: self.filter,
            outcome: Outcome::Report,
            reason: Some(denial.reason),
            rule: denial.rule,
        });
    }

    /// The verified identity: what an earlier filter of the chain set, or one in another VM published.
    pub fn identity(&mut self) -> Option<&Identity> {
        if self.exchange.identity.is_none() && !self.exchange.identity_sought {
            self.exchange.identity_sought = true;
            let property = self.host.property(&[Identity::PROPERTY]).ok().flatten();
            self.exchange.identity = property.and_then(|bytes| Identity::from_property(&bytes)).map(Rc::new);
        }
        self.exchange.identity.as_deref()
    }

    /// Sets the verified identity for the filters after this one. The runner publishes it as filter state where
    /// the chain is configured to.
    pub fn set_identity(&mut self, identity: impl Into<Rc<Identity>>) {
        self.exchange.identity = Some(identity.into());
        self.exchange.identity_sought = false;
    }

    /// The operation, if a filter before this one knew it.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.exchange.operation.as_deref()
    }

    /// Names the operation of this request (an OpenAPI operationId, or `GET /orders/{id}`).
    pub fn set_operation(&mut self, operation: impl Into<String>) {
        self.exchange.operation = Some(operation.into());
    }

    /// The verdicts so far of the filters in this chain; where none of them logs, only those with an objection.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.exchange.verdicts
    }

    /// How long each filter of this chain took in the request phase.
    #[must_use]
    pub fn timings(&self) -> &[(&'static str, Duration)] {
        &self.exchange.timings
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::FakeHost;

    // covers: HG-OUT-03
    #[test]
    fn no_filter_writes_a_value_that_is_more_than_a_value() {
        let host = FakeHost::default();
        let (mut exchange, mut edits) = (Exchange::default(), Edits::default());
        let mut ctx = Ctx::new(&host, "a", &mut exchange, &mut edits);
        for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x1b[2J", "\x7f", "a\tb", "\u{e9}", ""] {
            ctx.set_header("set", value);
            ctx.append_header("append", value);
        }
        let removed = edits.iter().filter(|edit| *edit == HeaderEdit::Remove(b"set")).count();
        assert_eq!((removed, edits.len()), (6, 6 + 2 * 3));
    }

    #[test]
    fn a_list_that_is_shared_is_as_if_its_fields_were_added_one_by_one() {
        let host = FakeHost::default();
        let list = PrintableHeaders::new([("a", "1"), ("b", "2")].into_iter().collect()).unwrap();
        let added = [HeaderEdit::Append(b"a", b"1"), HeaderEdit::Append(b"b", b"2")];
        let set = [HeaderEdit::Set(b"b", b"3"), HeaderEdit::Set(b"c", b"4")];
        for (is_first, expected) in
            [(true, [&added[..], &set[..]].concat()), (false, [&set[..], &added[..]].concat())]
        {
            let (mut exchange, mut edits) = (Exchange::default(), Edits::default());
            let mut ctx = Ctx::new(&host, "a", &mut exchange, &mut edits);
            if is_first {
                ctx.append_headers(&list);
            }
            ctx.set_header("b", "3");
            ctx.set_header("c", "4");
            if !is_first {
                ctx.append_headers(&list);
            }
            assert_eq!((edits.len(), edits.iter().collect::<Vec<_>>()), (4, expected));
            for from in 0..=4 {
                let (mut one_by_one, mut at_once, mut names) =
                    (Headers::default(), Headers::default(), Vec::new());
                edits.iter().skip(from).for_each(|edit| edit.apply(&mut one_by_one));
                edits.clone().apply_simplified(from, &mut at_once, &mut |name| names.push(name.to_vec()));
                assert_eq!((at_once, names.len()), (one_by_one, 4 - from), "{is_first} {from}");
            }
        }
        assert_eq!(list.headers().len(), 2, "what is shared stays as it is");
        assert!(PrintableHeaders::new([("a", "\r\n")].into_iter().collect()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_has_no_control_character(value in proptest::collection::vec(any::<u8>(), 0..20)) {
            let host = FakeHost::default();
            let (mut exchange, mut edits) = (Exchange::default(), Edits::default());
            let mut ctx = Ctx::new(&host, "a", &mut exchange, &mut edits);
            ctx.set_header("a", &value);
            ctx.append_header("a", &value);
            let mut headers: Headers = [("a", "of the client")].into_iter().collect();
            edits.iter().for_each(|edit| edit.apply(&mut headers));
            let is_safe = |value: &[u8]| value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
            prop_assert!(headers.iter().all(|(_, value)| is_safe(value) && value != b"of the client"));
        }
    }

    #[test]
    fn a_filter_has_one_time_however_often_it_was_called() {
        let mut exchange = Exchange::default();
        for (filter, micros) in [("a", 1), ("b", 2), ("a", 4)] {
            exchange.took(filter, Duration::from_micros(micros));
        }
        assert_eq!(exchange.timings, [("a", Duration::from_micros(5)), ("b", Duration::from_micros(2))]);
    }
}
