//! Does to files what programs do to them.

#[rustfmt::skip]
mod bindings;

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use bindings::exports::test::files::api::Guest;

thread_local! {
    static REMEMBERED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
    static HELD: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

// The standard library has no stable way to these on wasm.
unsafe extern "C" {
    fn link(from: *const c_char, to: *const c_char) -> c_int;
    fn symlink(target: *const c_char, path: *const c_char) -> c_int;
}

struct Files;

fn text<T>(result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn two_paths(
    call: unsafe extern "C" fn(*const c_char, *const c_char) -> c_int,
    first: String,
    second: String,
) -> Result<(), String> {
    let c = |path: String| CString::new(path).map_err(|error| error.to_string());
    let (first, second) = (c(first)?, c(second)?);
    // SAFETY: both are strings that end with a zero and live until the call has returned.
    match unsafe { call(first.as_ptr(), second.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

fn filled(path: &str, bytes: u64) -> io::Result<File> {
    let mut file = File::create(path)?;
    let chunk = vec![7; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(chunk.len() as u64);
        file.write_all(&chunk[..now as usize])?;
        left -= now;
    }
    Ok(file)
}

impl Guest for Files {
    fn write(path: String, contents: String) -> Result<(), String> {
        text(fs::write(path, contents))
    }

    fn append(path: String, contents: String) -> Result<(), String> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        text(opened.and_then(|mut file| file.write_all(contents.as_bytes())))
    }

    fn read(path: String) -> Result<String, String> {
        text(fs::read_to_string(path))
    }

    fn names(folder: String) -> Result<Vec<String>, String> {
        let entries = text(fs::read_dir(folder))?;
        let name = |entry: io::Result<fs::DirEntry>| {
            text(entry).map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    }

    fn make_folder(path: String) -> Result<(), String> {
        text(fs::create_dir(path))
    }

    fn remove(path: String) -> Result<(), String> {
        text(fs::remove_file(path))
    }

    fn rename(from: String, to: String) -> Result<(), String> {
        text(fs::rename(from, to))
    }

    fn link(target: String, path: String) -> Result<(), String> {
        two_paths(link, target, path)
    }

    fn symlink(target: String, path: String) -> Result<(), String> {
        two_paths(symlink, target, path)
    }

    fn touch(path: String) -> Result<(), String> {
        text(File::open(path).and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH)))
    }

    fn remember(path: String) -> Result<u64, String> {
        let metadata = text(fs::metadata(path))?;
        let modified = text(metadata.modified())?;
        let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        REMEMBERED.with_borrow_mut(|remembered| remembered.push((modified, metadata.len())));
        Ok(modified)
    }

    fn remembered() -> Vec<(u64, u64)> {
        REMEMBERED.with_borrow(Clone::clone)
    }

    fn fill(path: String, bytes: u64) -> Result<(), String> {
        text(filled(&path, bytes).map(|_| ()))
    }

    fn hold(path: String, bytes: u64) -> Result<(), String> {
        let file = text(filled(&path, bytes))?;
        text(fs::remove_file(path))?;
        HELD.with_borrow_mut(|held| held.push(file));
        Ok(())
    }

    fn release() {
        HELD.with_borrow_mut(Vec::clear);
    }
}

bindings::export!(Files with_types_in bindings);
