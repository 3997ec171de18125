//! gRPC calls on a host that misbehaves, by the module that makes one for each request (`tests/modules/grpc-probe`).

#![expect(clippy::unwrap_used, reason = "tests: a surprise is a failed test")]

use std::sync::LazyLock;

use portcullis_sweep::subject::{self, ROOT, STREAM};
use proxy_wasm_fault_host::{
    Callback, Effect, Ended, Exchange, Fault, GrpcAnswer, Message, Module, Proxy, Site, Stream, Vm,
};

static MODULE: LazyLock<Module> = LazyLock::new(|| subject::load("test/grpc-probe"));

fn request() -> Message {
    subject::request("GET", "/", &[("x-cluster", "oracle"), ("x-message", "question"), ("x-timeout", "50")])
}

fn started(answer: GrpcAnswer, fault: Option<Fault>) -> Vm {
    let mut proxy = Proxy::at(subject::NOW);
    proxy.grpc_clusters.insert("oracle".into(), answer);
    proxy.faults.plan = fault.into_iter().collect();
    let mut vm = Vm::start(&MODULE, proxy).unwrap();
    assert!(subject::configure(&mut vm, ROOT).unwrap());
    vm
}

/// What came of one request: its end, and the field in which the module tells what came of its call.
fn outcome(vm: &mut Vm) -> (Ended, String) {
    let outcome = Exchange::new(request()).run(vm, ROOT, STREAM);
    assert_eq!(vm.proxy().violations, []);
    let field = outcome.upstream.as_ref().and_then(|upstream| upstream.header("x-outcome"));
    (outcome.ended, String::from_utf8_lossy(field.unwrap_or_default()).into_owned())
}

fn passed(outcome: &str) -> (Ended, String) {
    (Ended::Passed, outcome.to_owned())
}

/// A request that waits for its call.
fn waiting(vm: &mut Vm, context: u32) {
    let mut stream = Stream { root: ROOT, request: request(), ..Stream::default() };
    stream.open.request_headers = true;
    vm.proxy_mut().streams.insert(context, stream);
    vm.call(&Callback::context_create(context, ROOT)).unwrap();
    assert_eq!(vm.call(&Callback::request_headers(context, 6, true)), Ok(1), "waits");
}

fn continued(vm: &Vm, context: u32) -> bool {
    vm.proxy().streams.get(&context).unwrap().continued
}

// covers: HOST-CALL-03
#[test]
fn a_call_ends_with_its_message_or_with_why_there_is_none() {
    for (answer, expected) in [
        (GrpcAnswer::Message(b"yes".to_vec()), "message \"yes\""),
        (GrpcAnswer::Message(Vec::new()), "message \"\""),
        (GrpcAnswer::Message(vec![b'x'; 1025]), "the message is too long"),
        (GrpcAnswer::Message(vec![b'x'; 100 * 1024 * 1024]), "the message is too long"),
        (GrpcAnswer::Status(0), "gRPC status 0"),
        (GrpcAnswer::Status(13), "gRPC status 13"),
        (GrpcAnswer::Status(14), "gRPC status 14"),
        (GrpcAnswer::Status(16), "gRPC status 16"),
        (GrpcAnswer::Status(u32::MAX), "gRPC status 4294967295"),
        (GrpcAnswer::Silence, "gRPC status 14"),
    ] {
        let mut vm = started(answer.clone(), None);
        let memory = vm.memory();
        assert_eq!(outcome(&mut vm), passed(expected));
        assert_eq!(vm.memory(), memory, "{expected}");
        assert_eq!((vm.proxy().grpc_calls_begun, vm.proxy().grpc_calls.len()), (1, 0));
    }
}

#[test]
fn what_is_asked_is_what_was_meant() {
    let mut vm = started(GrpcAnswer::Never, None);
    waiting(&mut vm, STREAM);
    let proxy = vm.proxy();
    let call = proxy.grpc_calls.first().unwrap();
    assert_eq!((call.context, call.cluster.as_str()), (ROOT, "oracle"), "its answer outlives the stream");
    assert_eq!((call.service.as_str(), call.method.as_str()), ("test.v1.Oracle", "Ask"));
    assert_eq!((call.message.as_slice(), call.deadline - proxy.now), (&b"question"[..], 50_000_000));
}

// covers: HOST-CALL-02
#[test]
fn a_call_that_does_not_begin_is_an_error_at_once() {
    let site = Site { phase: "proxy_on_request_headers", call: "proxy_grpc_call" };
    for status in proxy_wasm_fault_host::status::FAILURES {
        let mut vm = started(GrpcAnswer::Silence, Some(Fault::at(site, Effect::Status(status))));
        let words = format!("host call proxy_grpc_call failed with status {status}");
        assert_eq!(outcome(&mut vm), passed(&words));
    }
    let mut vm = started(GrpcAnswer::Silence, None);
    vm.proxy_mut().grpc_clusters.clear();
    assert_eq!(outcome(&mut vm), passed("host call proxy_grpc_call failed with status 10"));
}

#[test]
fn a_message_that_is_not_handed_out_is_an_error() {
    let site = Site { phase: "proxy_on_grpc_receive", call: "proxy_get_buffer_bytes" };
    for (effect, status) in [
        (Effect::Status(10), 10),
        (Effect::Status(99), 99),
        // None there, fewer bytes, more bytes, bytes elsewhere.
        (Effect::Status(1), 10),
        (Effect::Bytes(b"ye".to_vec()), 10),
        (Effect::Bytes(b"yes!".to_vec()), 10),
        (Effect::Elsewhere { address: 16, length: 3 }, 10),
        (Effect::Elsewhere { address: 16, length: u32::MAX }, 10),
    ] {
        let mut vm = started(GrpcAnswer::Message(b"yes".to_vec()), Some(Fault::at(site, effect.clone())));
        let words = format!("host call proxy_get_buffer_bytes failed with status {status}");
        assert_eq!(outcome(&mut vm), passed(&words), "{effect:?}");
    }
}

// covers: HOST-SDK-08
#[test]
fn only_the_first_answer_counts_and_only_for_its_call() {
    let mut vm = started(GrpcAnswer::Never, None);
    waiting(&mut vm, 2);
    waiting(&mut vm, 3);
    let calls = vm.proxy().grpc_calls.clone();
    let [first, second] = calls.as_slice() else { panic!("{calls:?}") };
    // Nobody's: an unknown id, an HTTP call of the same number.
    let mut unknown = first.clone();
    unknown.token = 4711;
    vm.answer_grpc(&unknown, GrpcAnswer::Message(b"no".to_vec())).unwrap();
    vm.answer_grpc(&unknown, GrpcAnswer::Status(0)).unwrap();
    vm.call(&Callback::http_call_response(ROOT, first.token, 0, 0)).unwrap();
    assert!(!continued(&vm, 2) && !continued(&vm, 3));
    vm.answer_grpc(second, GrpcAnswer::Status(16)).unwrap();
    assert!(!continued(&vm, 2) && continued(&vm, 3));
    // Late and twice.
    vm.answer_grpc(second, GrpcAnswer::Message(b"no".to_vec())).unwrap();
    vm.answer_grpc(first, GrpcAnswer::Message(b"yes".to_vec())).unwrap();
    vm.answer_grpc(first, GrpcAnswer::Status(14)).unwrap();
    assert!(continued(&vm, 2));
    let told = |context| vm.proxy().streams.get(&context).unwrap().request.header("x-outcome");
    assert_eq!((told(2), told(3)), (Some(&b"message \"yes\""[..]), Some(&b"gRPC status 16"[..])));
    assert_eq!(vm.proxy().metrics.iter().map(|metric| metric.value).max(), Some(2), "one answer for each");
    assert_eq!(vm.proxy().violations, []);
}

// covers: HOST-CTX-05
#[test]
fn an_answer_for_a_stream_that_is_gone_changes_nothing() {
    let mut vm = started(GrpcAnswer::Message(b"yes".to_vec()), None);
    waiting(&mut vm, 2);
    vm.call(&Callback::delete(2)).unwrap();
    vm.proxy_mut().streams.remove(&2);
    let call = vm.proxy_mut().grpc_calls.remove(0);
    vm.answer_grpc(&call, GrpcAnswer::Message(b"yes".to_vec())).unwrap();
    assert_eq!(outcome(&mut vm), passed("message \"yes\""));
}
