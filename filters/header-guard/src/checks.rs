//! What is done with the requests of one rule, and with their responses.
//!
//! ```text
//! request  -> limits -> fields -> host and method -> preflight? -> from another site? -> credentials to others
//! response -> profile -> cookies -> redirects -> caching -> CORS
//! ```

use portcullis_core::headers::Headers;
use portcullis_core::verdict::Mode;
use portcullis_core::{ConfigError, Denial, Flow, Request, Response};

use crate::config::{CorsConfig, CrossSiteConfig, OutgoingConfig, RequestConfig, ResponseConfig};
use crate::cors::{self, Cors, CorsVerdict};
use crate::cross_site::CrossSite;
use crate::limits::Limits;
use crate::outgoing::Outgoing;
use crate::policy::{Edit, Peer, is_secure};
use crate::request::Rules;
use crate::request::target::Targets;
use crate::response::{Context, Responses};
use crate::zone::Trusted;

/// The sections of a configuration that hold for the same requests.
pub struct Sections<'a> {
    /// What clients may send.
    pub request: &'a RequestConfig,
    /// What clients get.
    pub response: &'a ResponseConfig,
    /// Which pages of other origins may read responses.
    pub cors: Option<&'a CorsConfig>,
    /// Which requests of other sites are refused.
    pub cross_site: &'a CrossSiteConfig,
    /// Which credentials may leave.
    pub outgoing: Option<&'a OutgoingConfig>,
}

/// Checked sections, ready to run.
#[derive(Debug)]
pub struct Checks {
    /// Of the rule; none for what holds without one.
    id: Option<String>,
    mode: Mode,
    limits: Limits,
    targets: Targets,
    strangers: Rules,
    /// For peers of the operator's, if there can be any.
    trusted: Option<Rules>,
    cors: Option<Cors>,
    cross_site: CrossSite,
    outgoing: Option<Outgoing>,
    responses: Responses,
}

impl Checks {
    /// Checks the sections. `trusted` is what peers of the operator's may send besides; none if there are no such peers.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(
        id: Option<String>,
        sections: &Sections<'_>,
        trusted: Option<&Trusted>,
    ) -> Result<Self, ConfigError> {
        let in_request = |error: ConfigError| error.under("request");
        let cors = sections.cors.map(Cors::new).transpose();
        let outgoing = sections.outgoing.map(Outgoing::new).transpose();
        Ok(Self {
            id,
            mode: sections.request.mode,
            limits: Limits::new(sections.request).map_err(in_request)?,
            targets: Targets::new(sections.request).map_err(in_request)?,
            strangers: Rules::new(sections.request, None).map_err(in_request)?,
            trusted: trusted
                .map(|trusted| Rules::new(sections.request, Some(trusted)))
                .transpose()
                .map_err(in_request)?,
            cors: cors.map_err(|error| error.under("cors"))?,
            cross_site: CrossSite::new(sections.cross_site).map_err(|error| error.under("cross_site"))?,
            outgoing: outgoing.map_err(|error| error.under("outgoing"))?,
            responses: Responses::new(sections.response).map_err(|error| error.under("response"))?,
        })
    }

    /// Judges a request's head. `source` is asked for the peer's address and port only if that can make a difference;
    /// `edit` gets what has to be changed before anybody believes it, `report` what would be refused if its mode were not
    /// `report`.
    pub fn judge(
        &self,
        request: &Request,
        peer: Peer,
        source: &dyn Fn() -> Option<Vec<u8>>,
        edit: &mut dyn FnMut(Edit<'_>),
        report: &mut dyn FnMut(Denial),
    ) -> Flow {
        // In every mode: they bound the filter's own work.
        if let Err(denial) = self.limits.check(request) {
            return self.refusal(denial).into();
        }
        let fields = self.rules(peer).inspect(request, source, edit);
        let target = || self.targets.check(request).err();
        if let Some(refused) = self.decide(self.mode, fields.or_else(target), report) {
            return refused;
        }
        if let Some(cors) = &self.cors {
            match cors.judge(request) {
                CorsVerdict::NotCors | CorsVerdict::Actual { .. } => {}
                CorsVerdict::Preflight(answer) => return answer.into(),
                CorsVerdict::Refuse(denial) => {
                    if let Some(refused) = self.decide(cors.mode(), Some(denial), report) {
                        return refused;
                    }
                }
            }
        }
        let mode = self.cross_site.mode();
        let foreign = if mode == Mode::Off {
            None
        } else {
            self.cross_site.judge(request, is_secure(request.headers(), peer))
        };
        if let Some(refused) = self.decide(mode, foreign, report) {
            return refused;
        }
        let leaving = self.outgoing.as_ref().and_then(|outgoing| outgoing.check(request.headers(), edit));
        leaving.map(|denial| self.refusal(denial)).into_iter().for_each(report);
        Flow::Continue
    }

    /// Removes what this peer may not send behind a body, and what may not leave there.
    pub fn clear_trailers(&self, trailers: &Headers, peer: Peer, edit: &mut dyn FnMut(Edit<'_>)) {
        self.rules(peer).clear_trailers(trailers, edit);
        if let Some(outgoing) = &self.outgoing {
            outgoing.check(trailers, edit);
        }
    }

    /// Hardens a response.
    pub fn harden(&self, context: Context<'_>, response: &Response, edit: &mut dyn FnMut(Edit<'_>)) {
        self.responses.apply(context, response, edit);
        match &self.cors {
            Some(cors) if cors.mode() != Mode::Off => cors.respond(context.request, response, edit),
            _ => {
                if let Some(found) = cors::check_upstream(response, edit) {
                    edit(Edit::Found(found.as_str()));
                }
            }
        }
    }

    fn rules(&self, peer: Peer) -> &Rules {
        match (peer, &self.trusted) {
            (Peer::TrustedProxy | Peer::TlsProxy, Some(rules)) => rules,
            (Peer::Stranger, _) | (_, None) => &self.strangers,
        }
    }

    /// What a mode makes of a denial.
    fn decide(&self, mode: Mode, denial: Option<Denial>, report: &mut dyn FnMut(Denial)) -> Option<Flow> {
        let denial = self.refusal(denial?);
        match mode {
            Mode::Enforce => Some(denial.into()),
            Mode::Report => {
                report(denial);
                None
            }
            Mode::Off => None,
        }
    }

    fn refusal(&self, denial: Denial) -> Denial {
        match &self.id {
            Some(id) => denial.by_rule(id),
            None => denial,
        }
    }
}
