//! Limitador's engine behind Envoy's messages.

use std::error::Error;

use limitador::counter::Counter;
use limitador::limit::{Context, Limit, Namespace};
use limitador::{CheckResult, RateLimiter};
use tokio::sync::Mutex;
use tonic::Status;

use crate::messages::{
    Code, DescriptorStatus, Duration, RateLimit, RateLimitDescriptor, RateLimitRequest, RateLimitResponse,
    Unit,
};
use crate::redis_counters::RedisCounters;

/// Counters in memory are forgotten when there are more keys.
const KEYS_IN_MEMORY: u64 = 1_000_000;

/// Limits and their counters.
///
/// Limitador reads its counters and then adds to them, so calls at the same time could pass a limit together. Here one
/// call is answered after the other, and limits hold exactly.
pub struct Limiter(Mutex<Engine>);

enum Engine {
    Memory(RateLimiter),
    Redis(Vec<Limit>, RedisCounters),
}

impl Limiter {
    /// Counts in Redis when an address is given, otherwise in memory.
    pub fn new(limits: Vec<Limit>, redis: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let engine = match redis {
            None => {
                let engine = RateLimiter::new(KEYS_IN_MEMORY);
                engine.configure_with(limits)?;
                Engine::Memory(engine)
            }
            Some(address) => Engine::Redis(limits, RedisCounters::new(address)?),
        };
        Ok(Self(Mutex::new(engine)))
    }

    /// Judges the descriptors one by one, as envoyproxy/ratelimit does: limits see each as `descriptors[0]`, and what
    /// one that is over its limit asked for is not counted.
    ///
    /// # Errors
    /// Unknown without a descriptor, unavailable when the storage does not answer.
    pub async fn judge(&self, request: &RateLimitRequest) -> Result<RateLimitResponse, Status> {
        if request.domain.is_empty() {
            return Ok(RateLimitResponse { overall_code: Code::Unknown.into(), statuses: Vec::new() });
        }
        if request.descriptors.is_empty() {
            return Err(Status::unknown("there is no descriptor"));
        }
        let namespace = request.domain.as_str().into();
        let mut engine = self.0.lock().await;
        let mut statuses = Vec::new();
        for descriptor in &request.descriptors {
            let hits = hits(request, descriptor);
            let result = engine.check(&namespace, &context(descriptor), hits);
            let result = result.map_err(|error| Status::unavailable(error.to_string()))?;
            statuses.push(status(&result));
        }
        let is_over = statuses.iter().any(|status| status.code() == Code::OverLimit);
        let code = if is_over { Code::OverLimit } else { Code::Ok };
        Ok(RateLimitResponse { overall_code: code.into(), statuses })
    }
}

impl Engine {
    fn check(
        &mut self,
        namespace: &Namespace,
        context: &Context<'_>,
        hits: u64,
    ) -> Result<CheckResult, Box<dyn Error>> {
        match self {
            Self::Memory(engine) if hits == 0 => Ok(engine.is_rate_limited(namespace, context, 0)?),
            Self::Memory(engine) => Ok(engine.check_rate_limited_and_update(namespace, context, hits)?),
            Self::Redis(limits, redis) => {
                let limits = limits.iter().filter(|limit| limit.namespace() == namespace);
                let counters = limits
                    .filter(|limit| limit.applies(context))
                    .filter_map(|limit| Counter::new(limit.clone(), context).transpose());
                let mut counters = counters.collect::<Result<Vec<_>, _>>()?;
                // A wait for Redis must not keep the runtime from other work.
                let fits =
                    counters.is_empty() || tokio::task::block_in_place(|| redis.check(&mut counters, hits))?;
                Ok(CheckResult { limited: !fits, counters, limit_name: None })
            }
        }
    }
}

/// How many hits a descriptor is: its own number, else the request's, of which 0 is 1.
pub fn hits(request: &RateLimitRequest, descriptor: &RateLimitDescriptor) -> u64 {
    descriptor.hits_addend.unwrap_or(request.hits_addend.max(1).into())
}

fn context(descriptor: &RateLimitDescriptor) -> Context<'static> {
    let entries = descriptor.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
    let mut context = Context::default();
    context.list_binding("descriptors".into(), vec![entries.collect()]);
    context
}

fn status(result: &CheckResult) -> DescriptorStatus {
    let code = if result.limited { Code::OverLimit } else { Code::Ok };
    let Some(counter) = result.counters.iter().min_by_key(|counter| remaining(counter)) else {
        return DescriptorStatus { code: code.into(), ..DescriptorStatus::default() };
    };
    DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit {
            requests_per_unit: saturated(counter.max_value()),
            unit: unit(counter.limit().seconds()).into(),
            name: counter.limit().name().unwrap_or_default().into(),
        }),
        limit_remaining: saturated(remaining(counter)),
        duration_until_reset: counter.expires_in().map(|left| Duration {
            seconds: left.as_secs().try_into().unwrap_or(i64::MAX),
            nanos: left.subsec_nanos().try_into().unwrap_or_default(),
        }),
    }
}

fn remaining(counter: &Counter) -> u64 {
    counter.remaining().unwrap_or(counter.max_value())
}

fn unit(seconds: u64) -> Unit {
    match seconds {
        1 => Unit::Second,
        60 => Unit::Minute,
        3_600 => Unit::Hour,
        86_400 => Unit::Day,
        _ => Unit::Unknown,
    }
}

fn saturated(number: u64) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Entry;

    fn limiter() -> Limiter {
        let limits = serde_json::json!([
            {"namespace": "shop", "max_value": 3, "seconds": 60, "name": "by user", "conditions": [],
             "variables": ["descriptors[0]['user']"]},
            {"namespace": "shop", "max_value": 1, "seconds": 7, "conditions": ["descriptors[0]['path'] == '/slow'"],
             "variables": []},
        ]);
        Limiter::new(serde_json::from_value(limits).unwrap(), None).unwrap()
    }

    fn descriptor(entries: &[(&str, &str)], hits_addend: Option<u64>) -> RateLimitDescriptor {
        let entries = entries.iter().map(|(key, value)| Entry { key: (*key).into(), value: (*value).into() });
        RateLimitDescriptor { entries: entries.collect(), hits_addend }
    }

    fn request(descriptors: Vec<RateLimitDescriptor>, hits_addend: u32) -> RateLimitRequest {
        RateLimitRequest { domain: "shop".into(), descriptors, hits_addend }
    }

    #[tokio::test]
    async fn descriptors_are_judged_one_by_one() {
        let limiter = limiter();
        let user = |hits| descriptor(&[("user", "a")], hits);
        for (name, asked, hits, codes, remaining) in [
            ("no number of hits is one", vec![user(None)], 0, vec![Code::Ok], 2),
            ("more than is left", vec![user(None)], 3, vec![Code::OverLimit], 2),
            ("was not counted, and zero only looks", vec![user(Some(0))], 9, vec![Code::Ok], 2),
            (
                "another descriptor that is over its limit takes nothing from this one",
                vec![user(Some(1)), descriptor(&[("path", "/slow")], Some(2))],
                9,
                vec![Code::Ok, Code::OverLimit],
                1,
            ),
            ("all that is left", vec![user(None)], 1, vec![Code::Ok], 0),
            ("nothing left, but only a look", vec![user(Some(0))], 1, vec![Code::Ok], 0),
            ("nothing left", vec![user(None)], 1, vec![Code::OverLimit], 0),
            ("no limit is for it", vec![descriptor(&[("path", "/")], None)], 1, vec![Code::Ok], 0),
        ] {
            let answer = limiter.judge(&request(asked, hits)).await.unwrap();
            let found: Vec<_> = answer.statuses.iter().map(DescriptorStatus::code).collect();
            assert_eq!(found, codes, "{name}");
            assert_eq!(answer.statuses[0].limit_remaining, remaining, "{name}");
            let overall = if codes.contains(&Code::OverLimit) { Code::OverLimit } else { Code::Ok };
            assert_eq!(answer.overall_code(), overall, "{name}");
        }
    }

    #[tokio::test]
    async fn a_status_tells_its_limit() {
        let answer = limiter().judge(&request(vec![descriptor(&[("user", "b")], None)], 1)).await.unwrap();
        let limit = RateLimit { requests_per_unit: 3, unit: Unit::Minute.into(), name: "by user".into() };
        assert_eq!(answer.statuses[0].current_limit, Some(limit));
        let left = answer.statuses[0].duration_until_reset.clone().unwrap();
        assert!((59..=60).contains(&left.seconds), "{left:?}");
    }

    #[tokio::test]
    async fn questions_about_nothing() {
        let limiter = limiter();
        let nameless =
            RateLimitRequest { descriptors: vec![descriptor(&[], None)], ..RateLimitRequest::default() };
        assert_eq!(limiter.judge(&nameless).await.unwrap().overall_code(), Code::Unknown);
        assert_eq!(limiter.judge(&request(Vec::new(), 1)).await.unwrap_err().code(), tonic::Code::Unknown);
    }
}
