//! The messages of Envoy's rate-limit service, version 3, as far as they are used: `envoy.service.ratelimit.v3` and
//! `envoy.extensions.common.ratelimit.v3`.

use prost::{Enumeration, Message};
use serde::Serialize;

/// What a proxy asks.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct RateLimitRequest {
    /// Whose limits: the namespace of Limitador.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Each is judged by itself.
    #[prost(message, repeated, tag = "2")]
    pub descriptors: Vec<RateLimitDescriptor>,
    /// How many hits this request is; 0 is 1.
    #[prost(uint32, tag = "3")]
    pub hits_addend: u32,
}

/// What is counted.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct RateLimitDescriptor {
    /// Names and values.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    /// A `google.protobuf.UInt64Value`, in the place of the request's; 0 only looks.
    #[prost(message, optional, tag = "3")]
    pub hits_addend: Option<u64>,
}

/// One part of a descriptor.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Entry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The answer.
#[derive(Clone, PartialEq, Message)]
pub struct RateLimitResponse {
    /// Over the limit when one of the descriptors is.
    #[prost(enumeration = "Code", tag = "1")]
    pub overall_code: i32,
    /// One for each descriptor, in order.
    #[prost(message, repeated, tag = "2")]
    pub statuses: Vec<DescriptorStatus>,
}

/// What is said of one descriptor.
#[derive(Clone, PartialEq, Message)]
pub struct DescriptorStatus {
    /// Whether it is over its limit.
    #[prost(enumeration = "Code", tag = "1")]
    pub code: i32,
    /// The limit with the least left; none when no limit is for this descriptor.
    #[prost(message, optional, tag = "2")]
    pub current_limit: Option<RateLimit>,
    /// What that limit has left.
    #[prost(uint32, tag = "3")]
    pub limit_remaining: u32,
    /// When its window ends.
    #[prost(message, optional, tag = "4")]
    pub duration_until_reset: Option<Duration>,
}

/// A limit.
#[derive(Clone, PartialEq, Message)]
pub struct RateLimit {
    /// How many hits in a unit.
    #[prost(uint32, tag = "1")]
    pub requests_per_unit: u32,
    /// Unknown for windows that have no name.
    #[prost(enumeration = "Unit", tag = "2")]
    pub unit: i32,
    /// As the configuration calls it.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// What is left of them.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Code {
    /// None was reached.
    Unknown = 0,
    /// Within the limit.
    Ok = 1,
    /// Over the limit.
    OverLimit = 2,
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Unit {
    /// None of the others.
    Unknown = 0,
    /// 1 s.
    Second = 1,
    /// 60 s.
    Minute = 2,
    /// 3,600 s.
    Hour = 3,
    /// 86,400 s.
    Day = 4,
}
