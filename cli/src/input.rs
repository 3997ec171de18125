//! Files that the commands read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first `most` bytes of a file, or of standard input for `-`.
///
/// # Errors
/// What the operating system says.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}
