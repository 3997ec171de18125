//! A rate-limit service for tests: Envoy's protocol, Limitador's engine, and faults on demand. See README.md.

mod limiter;
mod messages;
mod redis_counters;
mod service;

use std::error::Error;
use std::io::{self, Write as _};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use limiter::Limiter;
use service::RateLimitService;

const USAGE: &str =
    "rate-limit-service --limits FILE.json [--listen 127.0.0.1:0] [--redis redis://127.0.0.1:6379]";

struct Options {
    listen: String,
    redis: Option<String>,
    limits: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1)).ok_or(USAGE)?;
    let limits = serde_json::from_slice(&std::fs::read(&options.limits)?)?;
    let service = RateLimitService::new(Limiter::new(limits, options.redis.as_deref())?);
    let listener = TcpListener::bind(&options.listen).await?;
    say(&listener.local_addr()?.port().to_string())?;
    let server = Server::builder().serve_with_incoming(service.clone(), TcpListenerStream::new(listener));
    tokio::select! {
        ended = server => ended.map_err(Into::into),
        ended = obey(&service) => ended,
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options { listen: "127.0.0.1:0".into(), redis: None, limits: String::new() };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--listen" => options.listen = value,
            "--redis" => options.redis = Some(value),
            "--limits" => options.limits = value,
            _ => return None,
        }
    }
    (!options.limits.is_empty()).then_some(options)
}

/// Takes a fault from each line, or nothing from an empty one, and answers with a line that tells what was asked so far.
/// Ends with standard input, so that the service does not outlive the test that started it.
async fn obey(service: &RateLimitService) -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if !line.is_empty() {
            service.fail(serde_json::from_str(&line)?);
        }
        say(&serde_json::to_string(&service.seen())?)?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
