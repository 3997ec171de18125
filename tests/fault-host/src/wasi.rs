//! The few functions of WASI that a proxy offers: output, time, randomness, the environment.

use wasmtime::{Caller, Linker};

use crate::guest::Guest;
use crate::imports::answer;
use crate::status;
use crate::vm::State;

const MODULE: &str = "wasi_snapshot_preview1";
/// Output that is kept; a module may print more.
const MAX_PRINTED: usize = 64 * 1024;
/// errno values of WASI.
const INVALID: u32 = 28;

/// Adds them to a linker.
pub fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "fd_write",
        |mut caller: Caller<'_, State>, _fd: u32, list: u32, count: u32, written_at: u32| {
            answer(&mut caller, "fd_write", |guest| {
                let mut written = 0_u32;
                for index in 0..count.min(64) {
                    let entry = guest.read(list.wrapping_add(index.wrapping_mul(8)), 8)?;
                    let (address, length) = entry.split_at(4);
                    let bytes = guest.read(number(address), number(length))?;
                    let printed = &mut guest.proxy().printed;
                    if printed.len() < MAX_PRINTED {
                        printed.extend(&bytes);
                    }
                    written = written.wrapping_add(number(length));
                }
                guest.write_u32(written_at, written)
            })
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, State>, at: u32, length: u32| {
        answer(&mut caller, "random_get", |guest| {
            // As proxy-wasm-cpp-host: no more than 64 KiB at once.
            if length > 64 * 1024 {
                return Err(INVALID.into());
            }
            let bytes: Vec<u8> =
                (0..length).map(|_| guest.proxy().random.next_number().to_le_bytes()[0]).collect();
            guest.write(at, &bytes)
        })
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, State>, _clock: u32, _precision: u64, at: u32| {
            answer(&mut caller, "clock_time_get", |guest| {
                let now = guest.proxy().now;
                guest.write(at, &now.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Caller<'_, State>, count_at: u32, size_at: u32| {
            answer(&mut caller, "environ_sizes_get", |guest| {
                let entries = environment(guest);
                let size = entries.iter().map(Vec::len).sum::<usize>();
                guest.write_u32(count_at, length(entries.len())?)?;
                guest.write_u32(size_at, length(size)?)
            })
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |mut caller: Caller<'_, State>, list: u32, buffer: u32| {
        answer(&mut caller, "environ_get", |guest| {
            let (mut list, mut buffer) = (list, buffer);
            for entry in environment(guest) {
                guest.write_u32(list, buffer)?;
                guest.write(buffer, &entry)?;
                list = list.wrapping_add(4);
                buffer = buffer.wrapping_add(length(entry.len())?);
            }
            Ok(())
        })
    })?;
    linker.func_wrap(MODULE, "proc_exit", |_: Caller<'_, State>, code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the module ended itself with status {code}")))
    })?;
    Ok(())
}

fn environment(guest: &mut Guest<'_, '_>) -> Vec<Vec<u8>> {
    let entries = guest.proxy().environment.iter();
    entries.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

fn length(length: usize) -> Result<u32, u32> {
    u32::try_from(length).map_err(|_| status::INTERNAL_FAILURE)
}
