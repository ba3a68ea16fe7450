//! Where our own log goes.

use super::{Context, exit::Exit};
use std::{fs::OpenOptions, sync::Mutex};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// To standard error, for programs that are no console; and to `--log-file`.
///
/// # Errors
/// When the file cannot be opened.
pub fn to_stderr(cx: &Context) -> Result<(), Exit> {
    let stderr: Boxed = Box::new(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(filter()));
    init(vec![stderr], cx)
}

/// To the console's log panel; and to `--log-file`. Nothing is printed: the screen is taken.
///
/// # Errors
/// When the file cannot be opened.
pub fn to_panel(cx: &Context) -> Result<(), Exit> {
    // Without `init_logger` there is no thread that wakes every 10 ms; the loop moves events when it draws.
    tui_logger::set_default_level(log::LevelFilter::Info);
    let panel: Boxed = Box::new(tui_logger::TuiTracingSubscriberLayer.with_filter(filter()));
    init(vec![panel], cx)
}

fn init(mut layers: Vec<Boxed>, cx: &Context) -> Result<(), Exit> {
    if let Some(path) = &cx.global.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|e| Exit::usage(format!("log file {}: {e}", path.display())))?;
        layers.push(Box::new(tracing_subscriber::fmt::layer().json().with_writer(Mutex::new(file)).with_filter(filter())));
    }
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

/// Our own events; of libraries only what is wrong.
fn filter() -> EnvFilter {
    EnvFilter::new("warn,cutover=info")
}
