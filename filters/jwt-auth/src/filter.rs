//! One request: the rule decides what it needs, its credentials are judged, and what was found out goes on.

use std::rc::Rc;

use portcullis_core::verdict::{Mode, OnError};
use portcullis_core::{Flow, Request};
use portcullis_host::{Ctx, Filter};

use crate::binding::ClientError;
use crate::judge::Judgement;
use crate::output;
use crate::plugin::JwtAuth;
use crate::policy::Rule;
use crate::refusal::Refusal;
use crate::source::Accepted;
use crate::waiting::{Awaited, Place};

/// One request.
pub struct JwtFilter {
    plugin: Rc<JwtAuth>,
    waiting: Option<Place>,
}

impl Filter for JwtFilter {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        // Before any decision: nobody may bring these fields along, wherever the request goes.
        for name in output::copies(request.headers(), self.plugin.policy.outputs()) {
            ctx.remove_header(name);
        }
        self.decide(request, ctx)
    }

    fn on_resume(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        if let (Some(place), Ok(now)) = (&self.waiting, ctx.host().now()) {
            // Another provider's answer, or a tick: the token need not be read again.
            if place.may_hope(now) {
                return Flow::Wait;
            }
        }
        self.decide(request, ctx)
    }
}

impl JwtFilter {
    /// For a new request.
    #[must_use]
    pub const fn new(plugin: Rc<JwtAuth>) -> Self {
        Self { plugin, waiting: None }
    }

    fn decide(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let plugin = Rc::clone(&self.plugin);
        let rule = match plugin.policy.rule(request) {
            Ok(rule) => rule,
            Err(denial) => return denial.into(),
        };
        if rule.require.groups().is_empty() || plugin.policy.passes_preflight(request) {
            return Flow::Continue;
        }
        match plugin.judge(request, rule, ctx.host()) {
            Judgement::Accept(accepted) => {
                self.waiting = None;
                plugin.admit(&accepted, request, ctx);
                Flow::Continue
            }
            Judgement::Wait { awaited, .. } if rule.mode == Mode::Enforce && self.may_wait(awaited, ctx) => {
                Flow::Wait
            }
            Judgement::Refuse(refusal) | Judgement::Wait { otherwise: refusal, .. } => {
                self.waiting = None;
                plugin.refuse(refusal, rule, ctx)
            }
        }
    }

    fn may_wait(&mut self, awaited: Awaited, ctx: &Ctx<'_>) -> bool {
        // Once: who has waited for a fetch does not wait for the next one.
        if self.waiting.is_some() {
            return false;
        }
        self.waiting = ctx.host().now().ok().and_then(|now| Place::take(&self.plugin, awaited, now));
        self.waiting.is_some()
    }
}

impl JwtAuth {
    fn admit(&self, accepted: &[Rc<Accepted>], request: &Request, ctx: &mut Ctx<'_>) {
        for one in accepted {
            for (name, value) in &one.fields {
                ctx.set_header(name.as_bytes(), value.as_bytes());
            }
            let source = self.policy.sources().get(one.source).filter(|source| !source.forward);
            for place in source.map(|source| source.from.as_slice()).unwrap_or_default() {
                place.remove(request, ctx);
                // A proof is of no use without its token.
                ctx.remove_header("dpop");
            }
        }
        if let Some(first) = accepted.first() {
            ctx.set_identity(Rc::clone(&first.identity));
        }
    }

    fn refuse(&self, refusal: Refusal, rule: &Rule, ctx: &mut Ctx<'_>) -> Flow {
        let lenient = refusal.is_unavailable() && self.policy.on_error() == OnError::Allow;
        let mode = if lenient { Mode::Report } else { rule.mode };
        let mut denial = rule.denial(refusal);
        if let Refusal::Binding(binding) = refusal
            && binding.client_error() == ClientError::UseDpopNonce
            && let (Some(dpop), Ok(now)) = (self.policy.binding().dpop(), ctx.host().now())
            && let Some(nonce) = dpop.nonce(ctx.host(), now)
        {
            denial = denial.with_header("dpop-nonce", nonce);
        }
        ctx.decide(mode, denial)
    }
}
