//! The adapter between the proxy and [`Policy`].

use std::rc::Rc;

use portcullis_core::headers::Headers;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Flow, Request, Response, client};
use portcullis_host::{Ctx, Filter, Host, Needs, Plugin};

use crate::policy::{Edit, Peer, Policy, is_secure};

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::load(configuration)?;
    Ok(Rc::new(HeaderGuard { policy }))
}

struct HeaderGuard {
    policy: Policy,
}

impl Plugin for HeaderGuard {
    fn name(&self) -> &'static str {
        "header-guard"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn needs(&self) -> Needs {
        Needs { request_trailers: true, response_headers: true, ..Needs::default() }
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Stream { plugin: self, peer: Peer::default() })
    }
}

struct Stream {
    plugin: Rc<HeaderGuard>,
    peer: Peer,
}

impl Filter for Stream {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let host = ctx.host();
        self.peer =
            self.plugin.policy.peer(|| client::parse_peer(&host.property(&["source", "address"]).ok()??));
        match self.plugin.policy.judge(request, self.peer, &mut |edit| apply(edit, ctx)) {
            Some((mode, denial)) => ctx.decide(mode, denial),
            None => Flow::Continue,
        }
    }

    fn on_request_trailers(&mut self, trailers: &Headers, ctx: &mut Ctx<'_>) {
        self.plugin.policy.clear_trailers(trailers, self.peer, &mut |edit| apply(edit, ctx));
    }

    fn on_response_headers(&mut self, request: Option<&Request>, response: &Response, ctx: &mut Ctx<'_>) {
        let secure = match request {
            Some(request) => is_secure(request.headers(), self.peer),
            None => {
                ctx.host().property(&["connection", "tls_version"]).is_ok_and(|version| version.is_some())
            }
        };
        self.plugin.policy.harden(request, response, secure, &mut |edit| apply(edit, ctx));
    }
}

fn apply(edit: Edit<'_>, ctx: &mut Ctx<'_>) {
    match edit {
        Edit::Set(name, value) => ctx.set_header(name, value),
        Edit::Append(name, value) => ctx.append_header(name, value),
        Edit::Remove(name) => ctx.remove_header(name),
        Edit::Found(what) => ctx.note(what),
    }
}

#[cfg(test)]
mod tests;
