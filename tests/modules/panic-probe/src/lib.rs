//! A filter that panics when a request says so (`x-panic: head`, `x-panic: body`): shows what a proxy configuration does
//! after a panic.
//! Never part of a release.

use std::rc::Rc;

use portcullis_core::{ConfigError, Flow, Request};
use portcullis_host::{Ctx, Filter, Host, Plugin};

struct PanicProbe;

impl Plugin for PanicProbe {
    fn name(&self) -> &'static str {
        "panic-probe"
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Self)
    }
}

impl Filter for PanicProbe {
    fn on_request_headers(&mut self, request: &Request, _ctx: &mut Ctx<'_>) -> Flow {
        match request.headers().first(b"x-panic") {
            Some(b"body") => Flow::NeedBody { limit: 1024 },
            asked => {
                assert!(asked.is_none(), "asked to panic");
                Flow::Continue
            }
        }
    }

    fn on_request_body(&mut self, request: &Request, _body: &[u8], _ctx: &mut Ctx<'_>) -> Flow {
        assert!(!request.headers().contains(b"x-panic"), "asked to panic");
        Flow::Continue
    }
}

/// Takes any configuration.
///
/// # Errors
/// Never.
pub fn configure(_configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    Ok(Rc::new(PanicProbe))
}

#[cfg(feature = "module")]
portcullis_host::module!(configure);
