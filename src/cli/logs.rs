//! `cutover logs`: what the instances of a rollout print.

use super::{
    Context,
    act::{Chosen, Output},
    connect::{self, Named},
    exit::{self, Exit},
};
use crate::{
    model::{
        event::{LogLine, LogStream},
        ident::Role,
    },
    runtime::{Fault, host::LogAsk},
};
use clap::ValueEnum;
use futures::{FutureExt, Stream, StreamExt};
use std::io::{self, BufWriter, Write};

/// Arguments of `cutover logs`.
#[derive(clap::Args, Debug)]
pub struct LogsArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Named,
    /// Only of the version that was stable, or the candidate, when it printed the line.
    #[arg(long, value_enum)]
    pub track: Option<Track>,
    /// Go on with what comes.
    #[arg(short, long)]
    pub follow: bool,
    /// At most so many of the lines that are there already.
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// How a line is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Which version's lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Track {
    /// The version to go back to.
    Stable,
    /// The version that is to replace it.
    Candidate,
}

/// Bytes that are written at once while lines come faster than they can be written one by one.
const PIECE: usize = 64 << 10;

/// Prints what is there, and with `-f` what comes.
///
/// # Errors
/// See [`exit`]; a reader of ours that has seen enough is none.
pub fn run(args: &LogsArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let chosen = Chosen::one(cx, &args.rollout)?;
    let asked = LogAsk {
        service: chosen.rollout.key.service.clone(),
        track: args.track.map(|track| match track {
            Track::Stable => Role::Stable,
            Track::Candidate => Role::Candidate,
        }),
        last: args.last,
        follow: args.follow,
    };
    let client = chosen.target.host()?;
    exit::block_on(async {
        tokio::select! {
            printed = print(client.log_lines(&asked), args, out) => printed,
            // `logs -f | head` must end although no line comes any more.
            () = exit::reader_gone() => Ok(()),
        }
    })?
}

/// Writes as many lines at once as there are, and at once what is alone.
async fn print(lines: impl Stream<Item = Result<LogLine, Fault>>, args: &LogsArgs, out: &mut impl Write) -> Result<(), Exit> {
    let mut lines = std::pin::pin!(lines);
    let mut out = BufWriter::with_capacity(PIECE, out);
    loop {
        let next = match lines.next().now_or_never() {
            Some(next) => next,
            None => {
                if let Err(e) = out.flush() {
                    return exit::closed(e);
                }
                lines.next().await
            }
        };
        match next {
            Some(Ok(line)) => {
                if let Err(e) = write(&line, args.output, &mut out) {
                    return exit::closed(e);
                }
            }
            // The last lines before the end are wanted most.
            Some(Err(fault)) => {
                out.flush().or_else(exit::closed)?;
                return Err(connect::fault(&fault));
            }
            None => {
                out.flush().or_else(exit::closed)?;
                return if args.follow {
                    Err(Exit::unreachable("the host ended the stream: it is ending or starting again"))
                } else {
                    Ok(())
                };
            }
        }
    }
}

fn write(line: &LogLine, output: Output, out: &mut impl Write) -> io::Result<()> {
    if output == Output::Json {
        serde_json::to_writer(&mut *out, line)?;
        return out.write_all(b"\n");
    }
    if line.lost > 0 {
        writeln!(out, "... {} lines are left out here: they came faster than they were read", line.lost)?;
    }
    let stream = match line.stream {
        LogStream::Out => "out",
        LogStream::Err => "err",
        LogStream::End => "end",
    };
    let at = line.at.format("%m-%d %H:%M:%S%.3f");
    writeln!(out, "{at} {} {} {stream} {}", line.version, line.instance.text(), line.line)
}

#[cfg(test)]
mod tests {
    use super::{LogsArgs, print};
    use crate::{cli::act::Output, model::event::LogLine, runtime::Fault};
    use futures::{StreamExt, stream};
    use std::io::{self, Write};

    fn args(output: Output, follow: bool) -> LogsArgs {
        LogsArgs { rollout: "web".parse().unwrap(), track: None, follow, last: None, output }
    }

    fn line(seq: u64) -> LogLine {
        serde_json::from_value(serde_json::json!({
            "seq": seq, "at": "2026-03-04T03:12:09.5Z", "service": "web", "role": "candidate", "version": "v42",
            "instance": "web-2-1", "stream": "err", "line": format!("\u{1b}[31mline {seq}"),
        }))
        .unwrap()
    }

    /// Counts what it is given, and is closed after so many bytes.
    struct Paper {
        text: Vec<u8>,
        writes: usize,
        room: usize,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.text.len() >= self.room {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.writes += 1;
            self.text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn paper(room: usize) -> Paper {
        Paper { text: Vec::new(), writes: 0, room }
    }

    #[tokio::test]
    async fn a_flood_is_written_in_pieces_and_a_single_line_at_once() {
        let mut out = paper(usize::MAX);
        let flood = stream::iter((0..10_000).map(|n| Ok(line(n))));
        print(flood, &args(Output::Text, false), &mut out).await.unwrap();
        let text = String::from_utf8(out.text).unwrap();
        assert_eq!(text.lines().count(), 10_000);
        assert_eq!(text.lines().next(), Some("03-04 03:12:09.500 v42 web-2-1 err line 0"), "what moves the cursor is gone");
        assert!(out.writes < 20, "{}", out.writes);

        let mut out = paper(usize::MAX);
        let slow = stream::iter(0..3).then(|n| async move {
            tokio::task::yield_now().await;
            Ok(line(n))
        });
        print(slow, &args(Output::Json, false), &mut out).await.unwrap();
        assert_eq!(out.writes, 3);
        let all: Vec<LogLine> = String::from_utf8(out.text).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(all.iter().map(|l| l.seq).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_reader_that_went_away_ends_it_and_a_host_that_went_away_is_said() {
        let endless = stream::iter((0..).map(|n| Ok(line(n))));
        assert_eq!(print(endless, &args(Output::Text, true), &mut paper(1)).await, Ok(()));
        let mut out = paper(usize::MAX);
        let broken = stream::iter([Ok(line(0)), Err(Fault::Closed { place: "host.sock".into() })]);
        let exit = print(broken, &args(Output::Text, true), &mut out).await.unwrap_err();
        assert_eq!((exit.code(), exit.line()), (3, Some("host.sock closed the connection")));
        assert!(out.text.ends_with(b"line 0\n"), "what came before is not lost");
        let ended = print(stream::empty(), &args(Output::Text, true), &mut paper(9)).await.unwrap_err();
        assert_eq!(ended.code(), 3);
    }
}
