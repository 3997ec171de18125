//! From a request's credentials to an identity, or the reason for its refusal.
//!
//! ```text
//! requirement -> credential (one a group) -> token:   remembered? -> form, claims, signature -> Accepted
//!                                         -> API key: by its hash                            -> Accepted
//! ```

use std::rc::Rc;

use portcullis_core::{Request, UnixTime};
use portcullis_host::{Host, Level};
use portcullis_jose::compact::Compact;
use portcullis_jose::{Rejection, UnverifiedToken};
use serde_json::{Map, Value};

use crate::binding::{BindingRefusal, Presented};
use crate::credentials::Credential;
use crate::defaults;
use crate::fetched::Wanted;
use crate::introspection::Introspected;
use crate::native::{FUNCTION, NativeVerifier};
use crate::plugin::JwtAuth;
use crate::policy::Rule;
use crate::refusal::Refusal;
use crate::requirement::Found;
use crate::schedule::Need;
use crate::source::{Accepted, Kind};
use crate::waiting::Awaited;

/// What came of a request's credentials.
pub enum Judgement {
    /// What they come to, in the order of the requirement; none for a request that may be anonymous.
    Accept(Vec<Rc<Accepted>>),
    /// Not good enough.
    Refuse(Refusal),
    /// The answer is on its way; the refusal is for who does not wait for it.
    Wait {
        /// What to wait for.
        awaited: Awaited,
        /// For who does not wait.
        otherwise: Refusal,
    },
}

/// Why a credential is not accepted, now.
enum Failure {
    Refused(Refusal),
    /// Newer keys of this source could change that.
    Keys {
        source: usize,
        need: Need,
    },
    /// What decides is on its way.
    Pending {
        awaited: Awaited,
        otherwise: Refusal,
    },
}

impl<R: Into<Refusal>> From<R> for Failure {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl JwtAuth {
    /// Judges a request by a rule that needs credentials.
    pub fn judge(&self, request: &Request, rule: &Rule, host: &dyn Host) -> Judgement {
        // Only who judges a credential needs the time: without one a request is refused by every clock.
        let now = match host.now() {
            Ok(now) if now >= defaults::EARLIEST => Ok(now),
            Ok(_) => {
                host.log(
                    Level::Error,
                    "the proxy's clock shows a time before this release; every token is refused",
                );
                Err(Refusal::WrongClock)
            }
            Err(_) => Err(Refusal::NoClock),
        };
        match self.accept(request, rule, host, now) {
            Ok(accepted) => Judgement::Accept(accepted),
            Err(Failure::Refused(refusal)) => Judgement::Refuse(refusal),
            Err(Failure::Keys { need, .. }) => Judgement::Refuse(refusal_for(need, 1)),
            Err(Failure::Pending { awaited, otherwise }) => Judgement::Wait { awaited, otherwise },
        }
    }

    fn accept(
        &self,
        request: &Request,
        rule: &Rule,
        host: &dyn Host,
        now: Result<UnixTime, Refusal>,
    ) -> Result<Vec<Rc<Accepted>>, Failure> {
        let groups = rule.require.groups();
        let (mut accepted, mut tokens) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for group in groups {
            let found = match group.find(request)? {
                Some(found) => {
                    let now = now?;
                    tokens.push((accepted.len(), found.credential, now));
                    self.judge_credential(&found, host, now)?
                }
                None => match self.judge_certificate(group.certificates(), host)? {
                    Some(accepted) => accepted,
                    None if rule.require.is_optional() => return Ok(accepted),
                    None => return Err(Refusal::Missing.into()),
                },
            };
            accepted.push(found);
        }
        // A proof is used up by judging it: only when nothing is left to wait for.
        for (place, credential, now) in tokens {
            if let Some(accepted) = accepted.get(place) {
                self.judge_binding(accepted, credential, request, host, now)?;
            }
        }
        // The first credential says who the caller is; the rule's conditions are about it.
        if let Some(first) = accepted.first() {
            let leeway = self.policy.provider(first.source).map_or(0, |provider| provider.tokens.leeway);
            if !rule.conditions.is_empty() {
                rule.conditions.check(&first.identity, leeway, now?)?;
            }
        }
        Ok(accepted)
    }

    /// The identity of the connection's certificate, by the first of these sources that knows it; none without a
    /// certificate.
    fn judge_certificate(&self, sources: &[usize], host: &dyn Host) -> Result<Option<Rc<Accepted>>, Failure> {
        let mut refused = None;
        for index in sources {
            let Some(source) = self.policy.sources().get(*index) else { continue };
            let Kind::Certificates(certificates) = &source.kind else { continue };
            match certificates.identify(host) {
                Ok(identity) => {
                    return Ok(Some(Rc::new(source.outputs.accept(*index, identity, None, None)?)));
                }
                Err(BindingRefusal::CertificateMissing) => {}
                Err(refusal) => refused = Some(Refusal::Binding(refusal)),
            }
        }
        refused.map_or(Ok(None), |refusal| Err(refusal.into()))
    }

    /// Whether whoever sent the token may: on every request, for a remembered token too.
    fn judge_binding(
        &self,
        accepted: &Accepted,
        credential: Credential<'_>,
        request: &Request,
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<(), Failure> {
        let Some(provider) = self.policy.provider(accepted.source) else {
            return Ok(());
        };
        let claims = &accepted.identity.claims;
        if provider.sender_constrained && !claims.contains_key("cnf") {
            return Err(Refusal::Binding(BindingRefusal::NotBound).into());
        }
        let presented = Presented { scheme: credential.scheme, token: credential.value, request };
        let call = |argument: &[u8]| host.call_foreign_function(FUNCTION, argument).ok();
        let verifier = NativeVerifier::new(call, self.native.get());
        let judged = self.policy.binding().judge(claims, &presented, host, now, &verifier);
        judged.map_err(|refusal| Refusal::Binding(refusal).into())
    }

    fn judge_credential(
        &self,
        found: &Found<'_>,
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<Rc<Accepted>, Failure> {
        // Sources with API keys share their places with nobody.
        if let [index] = found.sources
            && let Some(source) = self.policy.sources().get(*index)
            && let Kind::ApiKeys(keys) = &source.kind
        {
            return Ok(keys.judge(found.credential.value, now)?);
        }
        if let Some(index) = found.sources.iter().find(|index| self.introspector(**index).is_some())
            && Compact::is_opaque(found.credential.value)
        {
            let accepted = self.introspect(*index, found.credential.value, host, now)?;
            return self.judge_source(accepted, found, host, now);
        }
        let accepted = match self.recall(found.credential.value, now) {
            Some(judged) => judged?,
            None => match self.verify(found.credential.value, host, now) {
                Err(Failure::Keys { source, need }) => {
                    self.want(found.credential.value, source, need, host, now)?
                }
                judged => judged?,
            },
        };
        self.judge_source(accepted, found, host, now)
    }

    /// Whether the token's source may vouch here, and does so still.
    fn judge_source(
        &self,
        accepted: Rc<Accepted>,
        found: &Found<'_>,
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<Rc<Accepted>, Failure> {
        // Also for a token that was remembered: a rule may not take every provider, and each has its own clients.
        if !found.sources.contains(&accepted.source) {
            return Err(Refusal::ProviderNotAccepted.into());
        }
        if let Some(provider) = self.policy.provider(accepted.source) {
            provider.check_client(&accepted.identity)?;
        }
        if let Some(revocations) = self.revocations.get(accepted.source).and_then(Option::as_ref) {
            revocations.check(&accepted.identity, host, now)?;
        }
        Ok(accepted)
    }

    /// What the issuer said of an opaque token, or will say.
    fn introspect(
        &self,
        index: usize,
        token: &[u8],
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<Rc<Accepted>, Failure> {
        match self.introspector(index).map(|introspector| introspector.judge(token, host, now)) {
            Some(Introspected::Known(accepted)) => Ok(accepted),
            Some(Introspected::Pending(call)) => {
                let otherwise = Refusal::IntrospectionUnavailable { retry_after: 1 };
                Err(Failure::Pending { awaited: Awaited::Introspection { source: index, call }, otherwise })
            }
            Some(Introspected::Refused(refusal)) => Err(refusal.into()),
            None => Err(Rejection::Malformed.into()),
        }
    }

    /// Judges the claims that an issuer gives for an active token, as those of a signed one.
    pub(crate) fn accept_claims(
        &self,
        index: usize,
        mut claims: Map<String, Value>,
        now: UnixTime,
    ) -> Result<Accepted, Refusal> {
        let source = self.policy.sources().get(index).ok_or(Rejection::UnknownIssuer)?;
        let provider = source.provider().ok_or(Rejection::UnknownIssuer)?;
        let issuer = claims.entry("iss").or_insert_with(|| provider.tokens.issuer.as_str().into());
        if issuer.as_str() != Some(provider.tokens.issuer.as_str()) {
            return Err(Rejection::UnknownIssuer.into());
        }
        let validity = provider.tokens.check(&claims, now)?;
        Ok(source.outputs.accept(index, provider.identity(claims)?, None, Some(validity))?)
    }

    /// A token that was verified before, judged by the clock and the keys of now.
    fn recall(&self, token: &[u8], now: UnixTime) -> Option<Result<Rc<Accepted>, Rejection>> {
        let mut cache = self.cache.try_borrow_mut().ok()?;
        let (generation, accepted) = cache.get(token)?;
        if self.keys.get(accepted.source)?.as_ref()?.generation(now) != Some(generation) {
            cache.remove(token);
            return None;
        }
        Some(accepted.validity.map_or(Ok(()), |validity| validity.check(now)).map(|()| accepted))
    }

    fn verify(&self, token: &[u8], host: &dyn Host, now: UnixTime) -> Result<Rc<Accepted>, Failure> {
        let unverified = UnverifiedToken::parse_after(token, &self.last_header)?;
        let known = self.policy.issuer(unverified.issuer());
        let (index, source, provider) = known.ok_or(Rejection::UnknownIssuer)?;
        let checked = unverified.check(&provider.tokens, now)?;
        let keys = self.keys.get(index).and_then(Option::as_ref).ok_or(Rejection::UnknownIssuer)?;
        let (keys, generation) =
            keys.current(now).ok_or(Failure::Keys { source: index, need: Need::Refresh })?;
        let call = |argument: &[u8]| host.call_foreign_function(FUNCTION, argument).ok();
        let verifier = NativeVerifier::new(call, self.native.get());
        let verified = checked.verify(&keys, &verifier).map_err(|rejection| match rejection {
            Rejection::UnknownKey => Failure::Keys { source: index, need: Need::UnknownKey },
            rejection => rejection.into(),
        })?;
        let accepted = Rc::new(source.accept(index, provider, verified)?);
        let came_before =
            self.doorkeeper.try_borrow_mut().is_ok_and(|mut doorkeeper| doorkeeper.knows(token));
        if came_before && let Ok(mut cache) = self.cache.try_borrow_mut() {
            cache.insert(token, (generation, Rc::clone(&accepted)));
        }
        Ok(accepted)
    }

    /// Asks for newer keys, and tries again if another worker has fetched them already.
    fn want(
        &self,
        token: &[u8],
        index: usize,
        need: Need,
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<Rc<Accepted>, Failure> {
        let wanted = self.keys.get(index).and_then(Option::as_ref).map(|source| source.want(need, host, now));
        match wanted {
            Some(Wanted::Pending) => {
                let awaited = Awaited::Keys { source: index };
                Err(Failure::Pending { awaited, otherwise: refusal_for(need, 1) })
            }
            Some(Wanted::NotNow { retry_after }) => Err(refusal_for(need, retry_after).into()),
            // Keys there are now; whether this token names one of them is another question than before.
            Some(Wanted::Changed) => self.verify(token, host, now),
            None => Err(refusal_for(need, 1).into()),
        }
    }
}

fn refusal_for(need: Need, retry_after: u64) -> Refusal {
    match need {
        Need::Refresh => Refusal::KeysUnavailable { retry_after },
        Need::UnknownKey => Rejection::UnknownKey.into(),
    }
}
