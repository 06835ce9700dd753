//! Little-endian fields off the front of borrowed bytes. What does not fit is `None`, and then the parser gives up.

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, size_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(size_bytes)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A field of 64 bits that counts something in memory.
    pub(crate) fn size64(&mut self) -> Option<usize> {
        self.array().map(u64::from_le_bytes).and_then(|size| usize::try_from(size).ok())
    }

    /// As many bytes as the 32 bits before them say.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = usize::try_from(self.u32()?).ok()?;
        self.take(size)
    }

    /// The result, where nothing is left.
    pub(crate) fn finish<T>(self, result: T) -> Option<T> {
        self.bytes.is_empty().then_some(result)
    }
}
