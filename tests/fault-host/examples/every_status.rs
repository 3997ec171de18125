//! Sends one request through a module, once for each host call that it makes and each status that this call can have:
//!
//! ```text
//! cargo run -p proxy-wasm-fault-host --example every_status -- filter.wasm configuration.json
//! ```
#![expect(clippy::print_stdout, reason = "an example that reports")]

use std::error::Error;
use std::path::Path;

use proxy_wasm_fault_host::{
    Callback, Effect, Ended, Exchange, Fault, Message, Module, Outcome, Proxy, Trap, Vm, status,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, path, configuration] = arguments.as_slice() else {
        return Err("usage: every_status MODULE.wasm CONFIGURATION".into());
    };
    let module = Module::load(Path::new(path))?;
    let configuration = std::fs::read(configuration)?;

    let (vm, outcome) = send(&module, &configuration, None)?;
    println!("without a fault: {:?}, status {:?}", outcome.ended, outcome.status());
    for (site, count) in &vm.proxy().faults.seen {
        let mut ends = Vec::new();
        for status in status::FAILURES {
            let fault = Fault::at(*site, Effect::Status(status));
            ends.push(match send(&module, &configuration, Some(fault)) {
                Ok((vm, outcome)) if vm.proxy().violations.is_empty() => word(&outcome.ended),
                Ok(_) => '!',
                Err(_) => 'T',
            });
        }
        println!("{:<30} {:<40} x{count:<3} {}", site.phase, site.call, ends.iter().collect::<String>());
    }
    println!("p passed, r replied, c closed, H hung, T trapped, ! did what no proxy allows");
    Ok(())
}

fn send(module: &Module, configuration: &[u8], fault: Option<Fault>) -> Result<(Vm, Outcome), Trap> {
    let mut proxy = Proxy::at(1_700_000_000);
    proxy.plugin_configuration = configuration.to_vec();
    proxy.set_property("source.address", "203.0.113.9:4711");
    proxy.faults.plan = fault.into_iter().collect();
    let mut vm = Vm::start(module, proxy)?;
    let size = u32::try_from(configuration.len()).unwrap_or(u32::MAX);
    for callback in [Callback::context_create(1, 0), Callback::vm_start(1, 0), Callback::configure(1, size)] {
        vm.call(&callback)?;
    }
    let request = Message::new(&[
        (":method", "GET"),
        (":path", "/"),
        (":authority", "example.com"),
        (":scheme", "http"),
    ]);
    let outcome = Exchange::new(request).run(&mut vm, 1, 2);
    Ok((vm, outcome))
}

const fn word(ended: &Ended) -> char {
    match ended {
        Ended::Passed => 'p',
        Ended::Replied => 'r',
        Ended::Closed => 'c',
        Ended::Hung => 'H',
        Ended::Trapped(_) => 'T',
    }
}
