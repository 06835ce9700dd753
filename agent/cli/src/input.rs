//! Files that a person names on the command line; `-` is standard input.

use crate::failure::Failure;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The bytes of a file of at most `limit_bytes`. Files of the kernel, which have no size before they are read, too.
pub(crate) fn read(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: io::Error| Failure::new(format!("cannot be read: {e}"), path.display(), next_after(e.kind()));
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(unreadable)?),
    };
    let one_more = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    source.take(one_more).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit_bytes {
        let what = format!("is larger than the {limit_bytes} bytes that are read");
        return Err(Failure::new(what, path.display(), "check that this is the file you mean"));
    }
    Ok(bytes)
}

fn next_after(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "run this as a user who may read it, or with sudo",
        _ => "check the path; `-` reads from standard input",
    }
}
