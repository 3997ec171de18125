//! The host itself, with modules of a few lines: what it finds wrong must be found, and nothing else.

#![expect(clippy::unwrap_used, reason = "tests")]

use proxy_wasm_fault_host::{
    Answer, Callback, Effect, Ended, Exchange, Fault, Message, Module, Proxy, Site, TrapKind, Violation, Vm,
};

/// A module whose request-headers callback has this body, with all that it may call.
fn module(on_request_headers: &str) -> Module {
    let text = format!(
        r#"(module
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call" (func $http (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (memory (export "memory") 1 100)
  (data (i32.const 16) "xsource\00address")
  (global $top (mut i32) (i32.const 4096))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    global.get $top
    (global.set $top (i32.add (global.get $top) (local.get $size))))
  (func $deny (drop (call $reply (i32.const 403) (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const -1))))
  (func (export "proxy_on_request_headers") (param $context i32) (param $fields i32) (param $end i32) (result i32)
    {on_request_headers})
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $effective (i32.const 2)))
    (drop (call $continue (i32.const 0))))
)"#
    );
    Module::new(text.as_bytes()).unwrap()
}

fn proxy() -> Proxy {
    let mut proxy = Proxy::at(1_700_000_000);
    proxy.set_property("source.address", "127.0.0.1:1");
    proxy.clusters.insert("x".into(), Answer::Silence);
    proxy
}

fn run_with(module: &Module, faults: Vec<Fault>) -> (Ended, Vm, Option<Message>) {
    let mut proxy = proxy();
    proxy.faults.plan = faults;
    let mut vm = Vm::start(module, proxy).unwrap();
    vm.call(&Callback::context_create(1, 0)).unwrap();
    let exchange = Exchange::new(Message::new(&[(":method", "GET"), (":path", "/")]));
    let outcome = exchange.run(&mut vm, 1, 2);
    (outcome.ended, vm, outcome.upstream)
}

fn run(body: &str) -> (Ended, Vm, Option<Message>) {
    run_with(&module(body), Vec::new())
}

const ASK: &str = "(call $property (i32.const 17) (i32.const 14) (i32.const 0) (i32.const 4))";

#[test]
fn an_exchange_ends_as_the_module_decides() {
    let (ended, vm, upstream) = run("(i32.const 0)");
    assert_eq!((ended, vm.proxy().violations.len()), (Ended::Passed, 0));
    assert_eq!(upstream.unwrap().header(":path"), Some(&b"/"[..]));
    assert_eq!(run("(call $deny) (i32.const 1)").0, Ended::Replied);
    assert_eq!(run("(i32.const 1)").0, Ended::Hung, "paused, and nothing is in flight");
}

#[test]
fn a_trap_is_told_from_a_loop_and_from_a_recursion() {
    for (body, kind) in [
        ("unreachable", TrapKind::Unreachable),
        ("(loop $again (br $again)) (i32.const 0)", TrapKind::TooLong),
        ("(i32.load (i32.const -4))", TrapKind::OutOfBounds),
    ] {
        let Ended::Trapped(trap) = run(body).0 else { panic!("{body}") };
        assert_eq!(trap.kind, kind, "{body}");
    }
}

#[test]
fn memory_beyond_the_bound_is_not_given() {
    let grow = module("(memory.grow (i32.const 10))");
    let started = Vm::start_with_memory(&grow, proxy(), 65_536).unwrap();
    let mut vm = started;
    assert_eq!(vm.call(&Callback::request_headers(2, 0, true)), Ok(u32::MAX), "-1: no memory");
    assert_eq!(vm.memory(), 65_536);
}

#[test]
fn a_second_reply_and_what_comes_after_one_are_violations() {
    assert_eq!(
        run("(call $deny) (call $deny) (i32.const 1)").1.proxy().violations,
        [Violation::SecondReply(2)]
    );
    let after = run("(call $deny) (drop (call $continue (i32.const 0))) (i32.const 1)");
    assert_eq!(after.1.proxy().violations, [Violation::ContinueAfterEnd(2)]);
    let edit = "(call $deny) (drop (call $add (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 1))) (i32.const 1)";
    assert_eq!(run(edit).1.proxy().violations, [Violation::EditAfterEnd(2)]);
}

#[test]
fn a_status_that_the_module_ignores_is_found() {
    // Believes every status but 10.
    let careless = module(&format!("(if (i32.eq {ASK} (i32.const 10)) (then unreachable)) (i32.const 0)"));
    let site = Site { phase: "proxy_on_request_headers", call: "proxy_get_property" };
    let (ended, vm, _) = run_with(&careless, Vec::new());
    assert_eq!((ended, vm.proxy().faults.seen[&site]), (Ended::Passed, 1));
    for (status, trapped) in [(1, false), (10, true)] {
        let (ended, ..) = run_with(&careless, vec![Fault::at(site, Effect::Status(status))]);
        assert_eq!(matches!(ended, Ended::Trapped(_)), trapped, "{status}");
    }
    let (_, vm, _) = run_with(&careless, vec![Fault::at_nth(site, 1, Effect::Status(10))]);
    assert_eq!(vm.proxy().faults.happened, 0, "there is no second call");
}

#[test]
fn results_can_be_other_bytes_or_lie_elsewhere() {
    // The answer's length, as the status of a reply.
    let tells = module(&format!(
        "(drop {ASK}) (drop (call $reply (i32.load (i32.const 4)) (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 1)"
    ));
    let site = Site { phase: "proxy_on_request_headers", call: "proxy_get_property" };
    for (effect, length) in [
        (None, 11),
        (Some(Effect::Bytes(vec![0xff; 300])), 300),
        (Some(Effect::Elsewhere { address: 7, length: 999 }), 999),
    ] {
        let faults = effect.map(|effect| Fault::at(site, effect)).into_iter().collect();
        let (_, vm, _) = run_with(&tells, faults);
        assert!(vm.proxy().streams.is_empty(), "the stream is over");
        let mut proxy = proxy();
        proxy.faults.plan = vm.proxy().faults.plan.clone();
        let mut vm = Vm::start(&tells, proxy).unwrap();
        let exchange = Exchange::new(Message::new(&[(":path", "/")]));
        assert_eq!(exchange.run(&mut vm, 1, 2).reply.unwrap().status, length);
    }
}

#[test]
fn a_call_can_call_back() {
    let asks = module(&format!("(drop {ASK}) (i32.const 0)"));
    let site = Site { phase: "proxy_on_request_headers", call: "proxy_get_property" };
    let back = Effect::Reenter(vec![Callback::request_headers(3, 0, true)]);
    let (ended, vm, _) = run_with(&asks, vec![Fault::at(site, back)]);
    assert_eq!(
        (ended, vm.proxy().faults.seen[&site]),
        (Ended::Passed, 2),
        "once by itself, once from within"
    );
}

#[test]
fn a_callout_is_answered_or_its_deadline_passes() {
    let fields = r"(i32.store (i32.const 2000) (i32.const 0))";
    let call = "(drop (call $http (i32.const 16) (i32.const 1) (i32.const 100) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 50) (i32.const 0))) (i32.const 1)";
    let (ended, vm, _) = run(&format!("{fields} {call}"));
    assert_eq!(
        (ended, vm.proxy().calls_begun),
        (Ended::Hung, 0),
        "no pseudo-header fields: refused, and the module waits"
    );
}

#[test]
fn an_import_that_no_proxy_has_is_an_error() {
    let text = r#"(module (import "env" "proxy_frobnicate" (func (result i32))))"#;
    let error = Module::new(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("proxy_frobnicate"), "{error}");
}
