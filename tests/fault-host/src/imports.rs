//! The host calls of the ABI, each with the behaviour of Envoy, unless a fault is due.

use wasmtime::{Caller, Linker};

use crate::fault::{Effect, Site};
use crate::grpc;
use crate::guest::{Done, Failed, Guest};
use crate::pairs::{self, Pairs};
use crate::proxy::{Metric, PendingCall, Violation};
use crate::status;
use crate::stream::Reply;
use crate::vm::{State, reenter};

/// Envoy refuses larger bulk writes (`limits.h` of proxy-wasm-cpp-host).
const MAX_FIELDS: usize = 1024;
const MAX_PAIRS_BYTES: usize = 1024 * 1024;

/// Runs a host call that has no bytes as its result.
pub fn answer(
    caller: &mut Caller<'_, State>,
    call: &'static str,
    work: impl FnOnce(&mut Guest<'_, '_>) -> Done,
) -> wasmtime::Result<u32> {
    match meet(caller, call)? {
        Some(Effect::Status(status)) => Ok(status),
        Some(Effect::Lost(status)) => outcome(work(&mut Guest::new(caller))).map(|_| status),
        _ => outcome(work(&mut Guest::new(caller))),
    }
}

/// Runs a host call whose result is bytes, handed over at `address_at` and `length_at`.
fn answer_bytes(
    caller: &mut Caller<'_, State>,
    call: &'static str,
    (address_at, length_at): (u32, u32),
    work: impl FnOnce(&mut Guest<'_, '_>) -> Done<Vec<u8>>,
) -> wasmtime::Result<u32> {
    let effect = meet(caller, call)?;
    let guest = &mut Guest::new(caller);
    match effect {
        Some(Effect::Status(status)) => Ok(status),
        Some(Effect::Bytes(bytes)) => outcome(guest.hand_over(&bytes, address_at, length_at)),
        Some(Effect::Elsewhere { address, length }) => {
            outcome(guest.write_u32(address_at, address).and_then(|()| guest.write_u32(length_at, length)))
        }
        effect => {
            let done = work(guest).and_then(|bytes| guest.hand_over(&bytes, address_at, length_at));
            let status = outcome(done)?;
            Ok(if let Some(Effect::Lost(lost)) = effect { lost } else { status })
        }
    }
}

/// Notes the call, lets a re-entrant fault happen, and says which other fault is due.
fn meet(caller: &mut Caller<'_, State>, call: &'static str) -> wasmtime::Result<Option<Effect>> {
    let proxy = &mut caller.data_mut().proxy;
    let phase = proxy.frames.last().map_or("", |frame| frame.export);
    let nested = proxy.frames.len() > 1;
    match proxy.faults.meet(Site { phase, call }) {
        Some(Effect::Reenter(callbacks)) if !nested => {
            for callback in &callbacks {
                reenter(&mut *caller, callback)?;
            }
            Ok(None)
        }
        Some(Effect::Reenter(_)) => Ok(None),
        effect => Ok(effect),
    }
}

fn outcome(done: Done) -> wasmtime::Result<u32> {
    match done {
        Ok(()) => Ok(status::OK),
        Err(Failed::Status(status)) => Ok(status),
        Err(Failed::Trap(trap)) => Err(trap),
    }
}

/// Adds a host call: its name once, for the import and for the faults.
macro_rules! host_call {
    ($linker:ident, $name:ident($($argument:ident: $type:ty),*) |$guest:ident| $work:expr) => {
        $linker.func_wrap("env", stringify!($name), |mut caller: Caller<'_, State>, $($argument: $type),*| {
            answer(&mut caller, stringify!($name), |$guest| $work)
        })?;
    };
    ($linker:ident, $name:ident($($argument:ident: $type:ty),*) -> $result:expr; |$guest:ident| $work:expr) => {
        $linker.func_wrap("env", stringify!($name), |mut caller: Caller<'_, State>, $($argument: $type),*| {
            answer_bytes(&mut caller, stringify!($name), $result, |$guest| $work)
        })?;
    };
}

/// Adds all host calls to a linker.
pub fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    define_surroundings(linker)?;
    define_streams(linker)?;
    define_shared(linker)?;
    define_calls(linker)?;
    define_tracing(linker)?;
    define_unsupported(linker)
}

/// What a module that was instrumented for it says of each conditional branch: the condition, which it gets back, and
/// the branch's number. No proxy has this.
fn define_tracing(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("trace", "branch", |mut caller: Caller<'_, State>, condition: u32, branch: u32| {
        let (taken, not_taken) = caller.data_mut().proxy.branches.entry(branch).or_default();
        let count = if condition == 0 { not_taken } else { taken };
        *count = count.saturating_add(1);
        condition
    })?;
    Ok(())
}

/// Log, clock, timer, properties, metrics.
fn define_surroundings(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call!(linker, proxy_log(level: u32, message: u32, length: u32) |guest| {
        let line = guest.read(message, length)?;
        if line.iter().any(u8::is_ascii_control) {
            guest.proxy().violate(Violation::RawLog(line.clone()));
        }
        guest.proxy().logs.push((level, line));
        Ok(())
    });
    host_call!(linker, proxy_get_log_level(at: u32) |guest| guest.write_u32(at, 2));
    host_call!(linker, proxy_get_current_time_nanoseconds(at: u32) |guest| {
        let now = guest.proxy().now;
        guest.write(at, &now.to_le_bytes())
    });
    host_call!(linker, proxy_set_tick_period_milliseconds(period: u32) |guest| {
        guest.proxy().tick_period = period;
        Ok(())
    });
    host_call!(linker, proxy_set_effective_context(context: u32) |guest| {
        if let Some(frame) = guest.proxy().frames.last_mut() {
            frame.context = context;
        }
        Ok(())
    });
    host_call!(linker, proxy_done() | _guest | Ok(()));
    host_call!(linker, proxy_get_property(path: u32, length: u32, address_at: u32, length_at: u32) -> (address_at, length_at); |guest| {
        let path = guest.read(path, length)?;
        let proxy = guest.proxy();
        let own = proxy.stream().and_then(|stream| stream.properties.get(&path).cloned());
        Ok(own.or_else(|| proxy.properties.get(&path).cloned()).ok_or(status::NOT_FOUND)?)
    });
    host_call!(linker, proxy_set_property(path: u32, path_length: u32, value: u32, value_length: u32) |guest| {
        let (path, value) = (guest.read(path, path_length)?, guest.read(value, value_length)?);
        let stream = guest.proxy().stream().ok_or(status::BAD_ARGUMENT)?;
        stream.properties.insert(path, value);
        Ok(())
    });
    host_call!(linker, proxy_define_metric(kind: u32, name: u32, length: u32, id_at: u32) |guest| {
        let name = guest.text(name, length)?;
        let metrics = &mut guest.proxy().metrics;
        let id = metrics.iter().position(|metric| metric.name == name).unwrap_or_else(|| {
            metrics.push(Metric { name, kind, value: 0 });
            metrics.len().saturating_sub(1)
        });
        guest.write_u32(id_at, u32::try_from(id).map_err(|_| status::INTERNAL_FAILURE)?)
    });
    host_call!(linker, proxy_increment_metric(id: u32, offset: i64) |guest| {
        let metric = metric(guest, id)?;
        metric.value = metric.value.wrapping_add(offset);
        Ok(())
    });
    host_call!(linker, proxy_record_metric(id: u32, value: u64) |guest| {
        metric(guest, id)?.value = value.cast_signed();
        Ok(())
    });
    host_call!(linker, proxy_get_metric(id: u32, at: u32) |guest| {
        let value = metric(guest, id)?.value;
        guest.write(at, &value.to_le_bytes())
    });
    Ok(())
}

/// Header maps, buffers, replies.
fn define_streams(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call!(linker, proxy_get_header_map_pairs(map: u32, address_at: u32, length_at: u32) -> (address_at, length_at); |guest| {
        Ok(pairs::encode(&fields(guest, map)?))
    });
    host_call!(linker, proxy_get_header_map_value(map: u32, name: u32, length: u32, address_at: u32, length_at: u32) -> (address_at, length_at); |guest| {
        let name = guest.read(name, length)?;
        let values: Vec<_> = fields(guest, map)?.into_iter().filter(|field| field.0 == name).map(|field| field.1).collect();
        if values.is_empty() { Err(status::NOT_FOUND.into()) } else { Ok(values.join(&b","[..])) }
    });
    host_call!(linker, proxy_set_header_map_pairs(map: u32, at: u32, length: u32) |guest| {
        let bytes = guest.read(at, length)?;
        let new = pairs::decode(&bytes).unwrap_or_default();
        if new.len() > MAX_FIELDS || bytes.len() > MAX_PAIRS_BYTES {
            guest.proxy().violate(Violation::BulkWriteTooLarge(new.len()));
        }
        edit(guest, map, |fields| *fields = new)
    });
    host_call!(linker, proxy_add_header_map_value(map: u32, name: u32, name_length: u32, value: u32, value_length: u32) |guest| {
        let field = (guest.read(name, name_length)?, guest.read(value, value_length)?);
        edit(guest, map, |fields| fields.push(field))
    });
    host_call!(linker, proxy_replace_header_map_value(map: u32, name: u32, name_length: u32, value: u32, value_length: u32) |guest| {
        let (name, value) = (guest.read(name, name_length)?, guest.read(value, value_length)?);
        edit(guest, map, |fields| match fields.iter_mut().find(|field| field.0 == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        })
    });
    host_call!(linker, proxy_remove_header_map_value(map: u32, name: u32, length: u32) |guest| {
        let name = guest.read(name, length)?;
        edit(guest, map, |fields| fields.retain(|field| field.0 != name))
    });
    host_call!(linker, proxy_get_buffer_bytes(buffer: u32, start: u32, max: u32, address_at: u32, length_at: u32) -> (address_at, length_at); |guest| {
        let proxy = guest.proxy();
        let bytes = match buffer {
            0 => proxy.stream().map(|stream| stream.request.body.clone()),
            1 => proxy.stream().map(|stream| stream.response.body.clone()),
            4 => proxy.answer.as_ref().map(|(_, body)| body.clone()),
            5 => proxy.grpc_message.clone(),
            6 => Some(proxy.vm_configuration.clone()),
            7 => Some(proxy.plugin_configuration.clone()),
            _ => None,
        };
        let bytes = bytes.ok_or(status::NOT_FOUND)?;
        let (start, max) = (usize::try_from(start).unwrap_or(usize::MAX), usize::try_from(max).unwrap_or(usize::MAX));
        Ok(bytes.into_iter().skip(start).take(max).collect())
    });
    host_call!(linker, proxy_send_local_response(
        code: u32, details: u32, details_length: u32, body: u32, body_length: u32, headers: u32, headers_length: u32,
        grpc_status: i32
    ) |guest| {
        let headers = guest.read(headers, headers_length)?;
        let reply = Reply {
            status: code,
            headers: pairs::decode(&headers).ok_or(status::BAD_ARGUMENT)?,
            body: guest.read(body, body_length)?,
            details: guest.read(details, details_length)?,
            grpc_status,
        };
        let proxy = guest.proxy();
        let context = proxy.context();
        let stream = proxy.stream().ok_or(status::BAD_ARGUMENT)?;
        stream.replies.push(reply);
        if stream.replies.len() > 1 {
            proxy.violate(Violation::SecondReply(context));
        }
        Ok(())
    });
    host_call!(linker, proxy_continue_stream(kind: u32) |guest| {
        let proxy = guest.proxy();
        let context = proxy.context();
        let stream = proxy.stream().ok_or(status::BAD_ARGUMENT)?;
        let ended = stream.is_ended();
        if kind == 0 {
            stream.continued = true;
            if ended {
                proxy.violate(Violation::ContinueAfterEnd(context));
            }
        }
        Ok(())
    });
    host_call!(linker, proxy_close_stream(_kind: u32) |guest| {
        guest.proxy().stream().ok_or(status::BAD_ARGUMENT)?.closed = true;
        Ok(())
    });
    Ok(())
}

/// Data that the workers share.
fn define_shared(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut caller: Caller<'_, State>,
         key: u32,
         length: u32,
         address_at: u32,
         length_at: u32,
         version_at: u32| {
            answer_bytes(&mut caller, "proxy_get_shared_data", (address_at, length_at), |guest| {
                let key = guest.read(key, length)?;
                let (value, version) = guest.proxy().shared.get(&key).cloned().ok_or(status::NOT_FOUND)?;
                guest.write_u32(version_at, version)?;
                Ok(value)
            })
        },
    )?;
    host_call!(linker, proxy_set_shared_data(key: u32, key_length: u32, value: u32, value_length: u32, expected: u32) |guest| {
        let (key, value) = (guest.read(key, key_length)?, guest.read(value, value_length)?);
        let proxy = guest.proxy();
        let version = proxy.shared.get(&key).map(|(_, version)| *version);
        if expected == 0 && version.is_some() {
            proxy.violate(Violation::UnconditionalWrite(String::from_utf8_lossy(&key).into_owned()));
        }
        if version.is_some_and(|version| expected != 0 && version != expected) {
            return Err(status::CAS_MISMATCH.into());
        }
        proxy.shared.insert(key, (value, version.unwrap_or(0).saturating_add(1)));
        Ok(())
    });
    Ok(())
}

/// Calls to other clusters, functions of the proxy.
fn define_calls(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host_call!(linker, proxy_http_call(
        cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32, body_length: u32,
        _trailers: u32, _trailers_length: u32, timeout: u32, token_at: u32
    ) |guest| {
        let cluster = guest.text(cluster, cluster_length)?;
        let headers = guest.read(headers, headers_length)?;
        let headers = pairs::decode(&headers).ok_or(status::BAD_ARGUMENT)?;
        let body = guest.read(body, body_length)?;
        let proxy = guest.proxy();
        let complete = [":method", ":path", ":authority"].iter().all(|name| {
            headers.iter().any(|(found, value)| found == name.as_bytes() && !value.is_empty())
        });
        if !complete || !proxy.clusters.contains_key(&cluster) {
            return Err(status::BAD_ARGUMENT.into());
        }
        if timeout == 0 {
            proxy.violate(Violation::NoDeadline(cluster.clone()));
        }
        proxy.calls_begun = proxy.calls_begun.saturating_add(1);
        let (token, context) = (proxy.calls_begun, proxy.context());
        let deadline = proxy.now.saturating_add(u64::from(timeout).saturating_mul(1_000_000));
        proxy.calls.push(PendingCall { token, context, cluster, headers, body, deadline });
        guest.write_u32(token_at, token)
    });
    host_call!(linker, proxy_grpc_call(
        target: u32, target_length: u32, service: u32, service_length: u32, method: u32, method_length: u32,
        _metadata: u32, _metadata_length: u32, message: u32, message_length: u32, timeout: u32, token_at: u32
    ) |guest| {
        let asked = grpc::Asked {
            target: guest.read(target, target_length)?,
            service: guest.text(service, service_length)?,
            method: guest.text(method, method_length)?,
            message: guest.read(message, message_length)?,
            timeout,
        };
        let token = grpc::begin(guest.proxy(), asked)?;
        guest.write_u32(token_at, token)
    });
    host_call!(linker, proxy_call_foreign_function(
        name: u32, name_length: u32, argument: u32, argument_length: u32, address_at: u32, length_at: u32
    ) -> (address_at, length_at); |guest| {
        let (name, argument) = (guest.text(name, name_length)?, guest.read(argument, argument_length)?);
        let function = guest.proxy().functions.get(&name).cloned().ok_or(status::NOT_FOUND)?;
        Ok(function(&argument)?)
    });
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |mut caller: Caller<'_, State>, code_at: u32, address_at: u32, length_at: u32| {
            answer_bytes(&mut caller, "proxy_get_status", (address_at, length_at), |guest| {
                guest.write_u32(code_at, 0)?;
                Ok(Vec::new())
            })
        },
    )?;
    Ok(())
}

/// Calls that a module may import, and that this host answers with Unimplemented: queues, gRPC streams, writing buffers.
fn define_unsupported(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    const fn none() -> Done {
        Err(Failed::Status(status::UNIMPLEMENTED))
    }
    host_call!(linker, proxy_set_buffer_bytes(_kind: u32, _start: u32, _size: u32, _at: u32, _length: u32) |_guest| none());
    host_call!(linker, proxy_get_buffer_status(_kind: u32, _length_at: u32, _flags_at: u32) |_guest| none());
    host_call!(linker, proxy_get_header_map_size(_map: u32, _size_at: u32) |_guest| none());
    host_call!(linker, proxy_register_shared_queue(_name: u32, _length: u32, _id_at: u32) |_guest| none());
    host_call!(linker, proxy_resolve_shared_queue(_vm: u32, _vm_length: u32, _name: u32, _length: u32, _id_at: u32) |_guest| none());
    host_call!(linker, proxy_dequeue_shared_queue(_id: u32, _address_at: u32, _length_at: u32) |_guest| none());
    host_call!(linker, proxy_enqueue_shared_queue(_id: u32, _at: u32, _length: u32) |_guest| none());
    host_call!(linker, proxy_grpc_stream(
        _service: u32, _service_length: u32, _name: u32, _name_length: u32, _method: u32, _method_length: u32,
        _metadata: u32, _metadata_length: u32, _token_at: u32
    ) |_guest| none());
    host_call!(linker, proxy_grpc_send(_token: u32, _message: u32, _length: u32, _end: u32) |_guest| none());
    host_call!(linker, proxy_grpc_cancel(_token: u32) |_guest| none());
    host_call!(linker, proxy_grpc_close(_token: u32) |_guest| none());
    Ok(())
}

fn metric<'a>(guest: &'a mut Guest<'_, '_>, id: u32) -> Done<&'a mut Metric> {
    let place = usize::try_from(id).unwrap_or(usize::MAX);
    Ok(guest.proxy().metrics.get_mut(place).ok_or(status::NOT_FOUND)?)
}

/// The fields of a map that is open.
fn fields(guest: &mut Guest<'_, '_>, map: u32) -> Done<Pairs> {
    let proxy = guest.proxy();
    if map == 6 {
        // Envoy #26485: without an answer there is no map.
        return Ok(proxy.answer.as_ref().map(|(fields, _)| fields.clone()).ok_or(status::BAD_ARGUMENT)?);
    }
    Ok(open_map(guest, map)?.clone())
}

fn open_map<'a>(guest: &'a mut Guest<'_, '_>, map: u32) -> Done<&'a mut Pairs> {
    let stream = guest.proxy().stream().ok_or(status::BAD_ARGUMENT)?;
    let (open, fields) = match map {
        0 => (stream.open.request_headers, Some(&mut stream.request.headers)),
        1 => (stream.open.request_trailers, stream.request.trailers.as_mut()),
        2 => (stream.open.response_headers, Some(&mut stream.response.headers)),
        3 => (stream.open.response_trailers, stream.response.trailers.as_mut()),
        _ => (false, None),
    };
    match fields {
        Some(fields) if open => Ok(fields),
        _ => Err(status::BAD_ARGUMENT.into()),
    }
}

/// Changes a map. Request fields of a stream that has ended must stay.
fn edit(guest: &mut Guest<'_, '_>, map: u32, change: impl FnOnce(&mut Pairs)) -> Done {
    let proxy = guest.proxy();
    let context = proxy.context();
    if map <= 1 && proxy.stream().is_some_and(|stream| stream.is_ended()) {
        proxy.violate(Violation::EditAfterEnd(context));
    }
    change(open_map(guest, map)?);
    Ok(())
}
