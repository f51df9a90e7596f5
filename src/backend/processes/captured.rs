//! What one call writes, from the pool's side. Owns the files that it goes into, so that a worker which dies loses none of it,
//! and makes of them what the task's report shows.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
};

use super::{control::Control, retell::retell};
use crate::{
    sys::appended::appended,
    task::Captured,
    wire::control::{Inbox, Record, ToWorker},
};

/// As much of a file is kept, half from its start and half from its end. What a task writes must not take all our memory.
const MOST: u64 = 256 << 20;

/// So much is read at once.
const PIECE: usize = 16 << 10;

pub(super) struct Capture {
    ticket: u64,
    /// Without them nothing is captured, and the report says so.
    files: io::Result<Files>,
    /// How far the records were read.
    read: u64,
    inbox: Inbox,
    logs: Vec<String>,
    /// Where its records are told.
    span: tracing::Span,
}

struct Files {
    out: File,
    err: File,
    records: File,
}

impl Files {
    fn sent(ticket: u64, control: &Control) -> io::Result<Self> {
        let (out, err, records) =
            (appended("polypool-stdout")?, appended("polypool-stderr")?, appended("polypool-records")?);
        let fds = [out.as_fd(), err.as_fd(), records.as_fd()];
        control.nudge_with(&ToWorker::Capture { ticket }, &fds)?;
        Ok(Self { out, err, records })
    }
}

impl Capture {
    /// Makes the files, and sends them ahead of the call.
    pub(super) fn begin(ticket: u64, control: &Control, span: tracing::Span) -> Self {
        let files = Files::sent(ticket, control);
        Self { ticket, files, read: 0, inbox: Inbox::default(), logs: Vec::new(), span }
    }

    /// The worker has the files.
    pub(super) fn is_sent(&self) -> bool {
        self.files.is_ok()
    }

    /// Takes the capture if it is that of this call.
    pub(super) fn take(from: &mut Option<Self>, ticket: u64, worker: usize) -> Option<Box<Captured>> {
        from.take_if(|capture| capture.ticket == ticket).map(|capture| capture.finish(worker))
    }

    /// Reads the records that are new, and gives them to who listens in this program.
    pub(super) fn relay(&mut self, worker: usize) {
        let Ok(files) = &self.files else { return };
        let mut piece = [0; PIECE];
        loop {
            // A file that cannot be read has no more to give.
            let Ok(n @ 1..) = files.records.read_at(&mut piece, self.read) else { return };
            self.read += n as u64;
            self.inbox.add(&piece[..n]);
            // What makes no sense was written by who should not; nothing behind it is found.
            while let Ok(Some(record)) = self.inbox.next::<Record>() {
                retell(&record, worker, &self.span);
                self.logs.push(line(record));
            }
        }
    }

    /// All that was written. Whoever writes on does so in vain.
    fn finish(mut self, worker: usize) -> Box<Captured> {
        self.relay(worker);
        Box::new(match self.files {
            Ok(files) => Captured { stdout: text(&files.out), stderr: text(&files.err), logs: self.logs },
            Err(error) => {
                let stderr = format!("polypool: the output could not be captured: {error}\n");
                Captured { stderr, ..Captured::default() }
            }
        })
    }
}

fn line(record: Record) -> String {
    let level = match record.level {
        1 => "ERROR",
        2 => "WARN",
        3 => "INFO",
        4 => "DEBUG",
        _ => "TRACE",
    };
    format!("{level} {}: {}", record.target, record.message)
}

/// What is in a file. What is not text is replaced.
fn text(file: &File) -> String {
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    if len <= MOST {
        return into_text(read(file, 0, len));
    }
    let mut kept = into_text(read(file, 0, MOST / 2));
    kept.push_str(&format!("\n[polypool: {} bytes are left out here]\n", len - MOST));
    kept.push_str(&into_text(read(file, len - MOST / 2, MOST / 2)));
    kept
}

fn into_text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Reads a part of a file, as far as it is there.
fn read(file: &File, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(n @ 1..) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    bytes.truncate(filled);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn text_and_what_is_none() {
        let mut file = appended("test").expect("a file");
        file.write_all(b"a\xff\0b").expect("written");
        assert_eq!(text(&file), "a\u{fffd}\0b");
        file.set_len(0).expect("shrunk");
        file.write_all(b"anew").expect("written");
        assert_eq!(text(&file), "anew");
    }

    #[test]
    fn too_much_is_left_out_in_the_middle() {
        let mut file = appended("test").expect("a file");
        file.write_all(b"start").expect("written");
        // All zero between, which takes no memory in the file.
        file.set_len(MOST).expect("grown");
        file.write_all(b"the end").expect("written");
        let text = text(&file);
        assert!(text.starts_with("start") && text.ends_with("the end"));
        assert!(text.contains("[polypool: 7 bytes are left out here]"));
    }

    #[test]
    fn lines_of_records() {
        let record = |level| Record {
            level,
            target: "a::b".to_owned(),
            message: "m n=1".to_owned(),
            is_tracing: true,
        };
        assert_eq!(line(record(2)), "WARN a::b: m n=1");
        assert_eq!(line(record(9)), "TRACE a::b: m n=1");
    }
}
