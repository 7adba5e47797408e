use bytes::{Buf, Bytes};

/// What the guest has read of a response's body in an earlier life: lengths and checksums, to find the same place in a
/// response that was fetched again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    length: u64,
    /// `None` where the guest skipped bytes, which nobody has seen.
    checksum: Option<u32>,
}

/// The response is another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Differs;

impl Prefix {
    /// The guest read these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len() as u64;
        match self.stretches.last_mut() {
            Some(Stretch {
                length: before,
                checksum: Some(checksum),
            }) => {
                *before += length;
                *checksum = crc32c::crc32c_append(*checksum, bytes);
            }
            _ => self.stretches.push(Stretch {
                length,
                checksum: Some(crc32c::crc32c(bytes)),
            }),
        }
    }

    /// The guest skipped so many bytes.
    pub(super) fn skip(&mut self, length: u64) {
        if length > 0 {
            self.stretches.push(Stretch {
                length,
                checksum: None,
            });
        }
    }

    /// Ready to be compared with a response.
    pub(super) fn check(self) -> Check {
        Check {
            stretches: self.stretches.into_iter(),
            current: None,
        }
    }
}

/// A comparison under way.
pub(super) struct Check {
    stretches: std::vec::IntoIter<Stretch>,
    current: Option<(Stretch, u32)>,
}

impl Check {
    /// True when the end of the prefix is reached.
    pub(super) fn is_complete(&self) -> bool {
        self.current.is_none() && self.stretches.len() == 0
    }

    /// Compares the next bytes and returns those behind the prefix.
    pub(super) fn take(&mut self, mut bytes: Bytes) -> Result<Bytes, Differs> {
        while !bytes.is_empty() {
            let Some((mut stretch, seen)) = self.current.take().or_else(|| Some((self.stretches.next()?, 0)))
            else {
                break;
            };
            let length = bytes
                .len()
                .min(usize::try_from(stretch.length).unwrap_or(usize::MAX));
            let seen = crc32c::crc32c_append(seen, &bytes[..length]);
            bytes.advance(length);
            stretch.length -= length as u64;
            if stretch.length > 0 {
                self.current = Some((stretch, seen));
            } else if stretch.checksum.is_some_and(|expected| expected != seen) {
                return Err(Differs);
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_place_however_the_bytes_come() {
        let mut prefix = Prefix::default();
        prefix.read(b"abc");
        prefix.read(b"");
        prefix.read(b"de");
        prefix.skip(2);
        prefix.read(b"h");
        assert_eq!(prefix.stretches.len(), 3);
        for size in 1..12 {
            let mut check = prefix.clone().check();
            let mut rest = Vec::new();
            for chunk in b"abcdeXXhrest".chunks(size) {
                rest.extend(
                    check
                        .take(Bytes::copy_from_slice(chunk))
                        .expect("the same response"),
                );
            }
            assert!(check.is_complete());
            assert_eq!(rest, b"rest", "in chunks of {size}");
        }
        let mut check = prefix.check();
        assert_eq!(check.take(Bytes::from_static(b"abcdXfgh")), Err(Differs));
        assert!(Prefix::default().check().is_complete());
    }
}
