//! Makes a gRPC call for each request, as its fields say (`x-cluster`, `x-message`, `x-timeout` in milliseconds), and lets
//! it go on with what came of the call in `x-outcome`: shows what a proxy makes of each end of a call.
//! Never part of a release.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::{ConfigError, Flow, Request};
use portcullis_host::host::{MetricId, MetricKind};
use portcullis_host::{CallId, Ctx, Filter, GrpcAnswer, GrpcCall, Host, Plugin};

#[derive(Default)]
struct GrpcProbe {
    answers: RefCell<BTreeMap<CallId, GrpcAnswer>>,
    answered: Cell<Option<MetricId>>,
}

impl Plugin for GrpcProbe {
    fn name(&self) -> &'static str {
        "grpc-probe"
    }

    fn start(&self, host: &dyn Host) {
        self.answered.set(host.define_metric(MetricKind::Counter, "portcullis.grpc_probe.answers").ok());
    }

    fn answer_limit(&self) -> usize {
        1024
    }

    fn on_grpc_call(&self, id: CallId, answer: &GrpcAnswer, host: &dyn Host) {
        self.answers.borrow_mut().insert(id, answer.clone());
        if let Some(answered) = self.answered.get() {
            let _ = host.increment_metric(answered, 1);
        }
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(ProbeFilter { probe: self, call: None })
    }
}

struct ProbeFilter {
    probe: Rc<GrpcProbe>,
    call: Option<CallId>,
}

impl Filter for ProbeFilter {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let field = |name: &str| request.headers().first(name.as_bytes()).unwrap_or_default();
        let text = |name| str::from_utf8(field(name)).unwrap_or_default();
        let call = GrpcCall {
            cluster: text("x-cluster"),
            service: "test.v1.Oracle",
            method: "Ask",
            message: field("x-message"),
            timeout: Duration::from_millis(text("x-timeout").parse().unwrap_or(1000)),
        };
        match ctx.host().grpc_call(&call) {
            Ok(id) => {
                self.call = Some(id);
                Flow::Wait
            }
            Err(error) => {
                ctx.set_header("x-outcome", error.to_string());
                Flow::Continue
            }
        }
    }

    fn on_resume(&mut self, _request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let answer = self.call.and_then(|id| self.probe.answers.borrow_mut().remove(&id));
        let outcome = match answer {
            None => return Flow::Wait,
            Some(Ok(message)) => format!("message {:?}", String::from_utf8_lossy(&message)),
            Some(Err(error)) => error.to_string(),
        };
        ctx.set_header("x-outcome", outcome);
        Flow::Continue
    }
}

/// Takes any configuration.
///
/// # Errors
/// Never.
pub fn configure(_configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    Ok(Rc::<GrpcProbe>::default())
}

#[cfg(feature = "module")]
portcullis_host::module!(configure);
