//! The service as gRPC: answers, counts and fails.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes};
use serde::{Deserialize, Serialize};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};

use crate::limiter::{self, Limiter};
use crate::messages::RateLimitRequest;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// `envoy.service.ratelimit.v3.RateLimitService`.
#[derive(Clone)]
pub struct RateLimitService(Arc<Shared>);

struct Shared {
    limiter: Limiter,
    fault: Mutex<Fault>,
    seen: Mutex<Seen>,
}

/// What goes wrong.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Answers come so much later.
    delay_ms: u64,
    /// The gRPC status in the place of an answer. Nothing is counted.
    status: Option<i32>,
    /// The bytes, in hexadecimal, in the place of the answer's message. Nothing is counted.
    message: Option<Hexadecimal>,
}

#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct Hexadecimal(Bytes);

/// What was asked so far, failed calls included.
#[derive(Clone, Default, Serialize)]
pub struct Seen {
    calls: u64,
    /// Of all descriptors of all calls.
    hits: u64,
    last: Option<RateLimitRequest>,
}

impl RateLimitService {
    /// A service that works.
    pub fn new(limiter: Limiter) -> Self {
        Self(Arc::new(Shared { limiter, fault: Mutex::default(), seen: Mutex::default() }))
    }

    /// From now on fails so.
    pub fn fail(&self, fault: Fault) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What was asked so far.
    pub fn seen(&self) -> Seen {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    async fn answer(&self, request: RateLimitRequest) -> Result<Bytes, Status> {
        self.saw(&request);
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match (fault.status, fault.message) {
            (Some(status), _) => Err(Status::new(Code::from_i32(status), "as told")),
            (None, Some(message)) => Ok(message.0),
            (None, None) => self.limiter.judge(&request).await.map(|answer| answer.encode_to_vec().into()),
        };
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        answer
    }

    fn saw(&self, request: &RateLimitRequest) {
        let hits: u64 = request.descriptors.iter().map(|descriptor| limiter::hits(request, descriptor)).sum();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls += 1;
        seen.hits = seen.hits.saturating_add(hits);
        seen.last = Some(request.clone());
    }
}

impl TryFrom<String> for Hexadecimal {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let pairs = digits.unwrap_or_default();
        let (pairs, []) = pairs.as_chunks() else { return Err("expected pairs of hexadecimal digits") };
        if pairs.len() * 2 != text.len() {
            return Err("expected hexadecimal digits");
        }
        Ok(Self(pairs.iter().filter_map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect()))
    }
}

impl Service<http::Request<Body>> for RateLimitService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != METHOD {
            return Box::pin(ready(Ok(Status::unimplemented("no such method").into_http())));
        }
        let method = ShouldRateLimit(Arc::clone(&self.0));
        Box::pin(async { Ok(Grpc::new(AnyBytes).unary(method, request).await) })
    }
}

struct ShouldRateLimit(Arc<Shared>);

impl UnaryService<RateLimitRequest> for ShouldRateLimit {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<RateLimitRequest>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.answer(request.into_inner()).await.map(Response::new) })
    }
}

/// Reads a message and writes bytes that need not be one.
struct AnyBytes;

impl Codec for AnyBytes {
    type Encode = Bytes;
    type Decode = RateLimitRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AnyBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for AnyBytes {
    type Item = RateLimitRequest;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<RateLimitRequest>, Status> {
        RateLimitRequest::decode(source)
            .map(Some)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_faults_are_pairs_of_digits() {
        for (text, bytes) in [
            ("", Some(&[][..])),
            ("08ffA0", Some(&[0x08, 0xff, 0xa0])),
            ("8", None),
            ("0g", None),
            ("éa", None),
        ] {
            let found = Hexadecimal::try_from(text.to_owned()).ok();
            assert_eq!(found.as_ref().map(|found| &found.0[..]), bytes, "{text}");
        }
    }
}
