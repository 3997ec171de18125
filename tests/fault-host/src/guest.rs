//! The module's side of a host call: its memory and its allocator.

use wasmtime::{AsContext as _, AsContextMut as _, Caller};

use crate::proxy::Proxy;
use crate::status;
use crate::vm::{State, invoke_export};

/// A host call at work.
pub struct Guest<'a, 'b> {
    caller: &'a mut Caller<'b, State>,
}

/// A status other than Ok, or a trap of the module while the host called back.
#[derive(Debug)]
pub enum Failed {
    /// The call answers with this status.
    Status(u32),
    /// The module trapped: so does the call.
    Trap(wasmtime::Error),
}

impl From<u32> for Failed {
    fn from(status: u32) -> Self {
        Self::Status(status)
    }
}

/// What host calls come to.
pub type Done<T = ()> = Result<T, Failed>;

impl<'a, 'b> Guest<'a, 'b> {
    pub const fn new(caller: &'a mut Caller<'b, State>) -> Self {
        Self { caller }
    }

    pub fn proxy(&mut self) -> &mut Proxy {
        &mut self.caller.data_mut().proxy
    }

    /// `length` bytes of the module at `address`.
    pub fn read(&mut self, address: u32, length: u32) -> Done<Vec<u8>> {
        let memory = self.caller.data().memory.ok_or(status::INTERNAL_FAILURE)?;
        let (start, length) = (index(address)?, index(length)?);
        let end = start.checked_add(length).ok_or(status::INVALID_MEMORY_ACCESS)?;
        let bytes = memory.data(self.caller.as_context()).get(start..end);
        Ok(bytes.ok_or(status::INVALID_MEMORY_ACCESS)?.to_vec())
    }

    /// The same as text; anything but UTF-8 is a bad argument.
    pub fn text(&mut self, address: u32, length: u32) -> Done<String> {
        String::from_utf8(self.read(address, length)?).map_err(|_| Failed::Status(status::BAD_ARGUMENT))
    }

    /// Writes to the module's memory.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Done {
        let memory = self.caller.data().memory.ok_or(status::INTERNAL_FAILURE)?;
        memory
            .write(self.caller.as_context_mut(), index(address)?, bytes)
            .map_err(|_| Failed::Status(status::INVALID_MEMORY_ACCESS))
    }

    /// Writes a number, little endian.
    pub fn write_u32(&mut self, address: u32, number: u32) -> Done {
        self.write(address, &number.to_le_bytes())
    }

    /// Hands `bytes` over: in memory that the module allocates for them, with address and length where it asked.
    pub fn hand_over(&mut self, bytes: &[u8], address_at: u32, length_at: u32) -> Done {
        let length = u32::try_from(bytes.len()).map_err(|_| status::INTERNAL_FAILURE)?;
        let address = if length == 0 { 0 } else { self.allocate(length)? };
        if length > 0 {
            self.write(address, bytes)?;
        }
        self.write_u32(address_at, address)?;
        self.write_u32(length_at, length)
    }

    fn allocate(&mut self, length: u32) -> Done<u32> {
        let proxy = self.proxy();
        proxy.allocations = proxy.allocations.saturating_add(1);
        for export in ["proxy_on_memory_allocate", "malloc"] {
            match invoke_export(&mut *self.caller, export, &[length]) {
                Ok(Some(0)) => return Err(status::INVALID_MEMORY_ACCESS.into()),
                Ok(Some(address)) => return Ok(address),
                Ok(None) => {}
                Err(trap) => return Err(Failed::Trap(trap)),
            }
        }
        Err(status::INTERNAL_FAILURE.into())
    }
}

fn index(number: u32) -> Done<usize> {
    usize::try_from(number).map_err(|_| Failed::Status(status::INVALID_MEMORY_ACCESS))
}
