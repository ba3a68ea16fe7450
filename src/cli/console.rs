//! `cutover`: the console on the configured targets.

use super::{Context, connect, exit::Exit, logging};
use crate::{
    app::{keymap::Keymap, state},
    clock::{Clock, SystemClock},
    config::{ColorChoice, Origin, Switch, TargetColor, TargetConfig},
    console::{Console, Intents, Journaled, Ledger, Setup},
    journal::{self, Entry, Journal, JournalHandle},
    model::{
        ident::{Key, TargetId},
        text::Raw,
    },
    panel,
    run::{self, Wiring, port::Place},
    term::ability::{Color, Environment, Sync},
    ui::look::Paint,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// How long the first frame waits for the journal to be read.
const PATIENCE: Duration = Duration::from_millis(10);

/// Where the console begins.
pub enum Start {
    /// On the only rollout of the configured targets; where there are several, on all of them.
    Configured,
    /// On the same, with something to say first.
    Saying(String),
    /// On this one.
    Open {
        /// Its target.
        target: String,
        /// Its service.
        service: String,
        /// What to say first.
        say: String,
    },
}

/// Says so when there is no terminal to draw on, before anything is started.
///
/// # Errors
/// Exit code 2.
pub fn needs_terminal() -> Result<(), Exit> {
    use std::io::IsTerminal;
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Exit::usage("the console needs a terminal; without one use `cutover get`, or `cutover demo --headless`"));
    }
    Environment::read().check().map_err(Exit::usage)
}

/// Opens the console and stays until it is closed.
///
/// # Errors
/// See [`exit`](super::exit).
pub fn run(cx: &Context, start: Start) -> Result<(), Exit> {
    needs_terminal()?;
    let loaded = cx.load()?;
    let targets = connect::targets(cx)?;
    connect::somebody_there(&targets, loaded.origins.of("target.0.name") == Origin::Default)?;
    logging::to_panel(cx)?;
    let console = &loaded.config.console;
    let keymap = Keymap::new(&panel::tables(&panel::all()), &loaded.config.keys).map_err(Exit::usage)?;
    let environment = Environment::read();
    let look = environment.look(color(console.color), if cx.global.ascii { Some(true) } else { decided(console.ascii) });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let journal = ledger(&loaded.paths.journal, &clock);
    let intents = Intents::default();
    let random: u64 = rand::random();
    let ids = format!("{}-{random:016x}", cx.env.user.as_deref().unwrap_or("console"));
    let place = |target: &connect::Target| {
        let client = target.console(&ids, cx.env.user.as_deref())?;
        Ok(Place {
            target: target.id.clone(),
            name: client.place().clone(),
            port: Arc::new(Journaled { inner: Arc::new(client), journal: journal.clone(), intents: intents.clone() }),
        })
    };
    let places = targets.iter().map(place).collect::<Result<Vec<Place>, Exit>>()?;
    let mut program = Console::new(Setup {
        look,
        keymap,
        name: cx.env.user.as_deref().map(Into::into),
        ids: ids.clone(),
        read_only: cx.global.read_only || targets.iter().all(|t| t.read_only),
        open: match &start {
            Start::Configured | Start::Saying(_) => None,
            Start::Open { target, service, .. } => {
                Some(Key { target: TargetId::new(target), scope: Vec::new(), service: Raw::new(service), uid: None })
            }
        },
        targets: facts(&loaded.config.targets),
        places: places.clone(),
        intents,
        journal: journal.clone(),
        now: clock.now(),
    });
    if let Start::Open { say, .. } | Start::Saying(say) = &start {
        program.say(say.as_str().into());
    }
    program.recall(open_intents(loaded.paths.journal.clone(), targets.into_iter().map(|t| t.id).collect()), PATIENCE);
    // One thread: keys that were typed while the process was stopped are certain to be seen as such only on the main thread.
    tracing::info!("started; the journal is {}", loaded.paths.journal.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::failed)?;
    let wiring = Wiring { program: &mut program, clock, places, environment, sync: sync(console.synchronized), seed: random };
    let end = runtime.block_on(async {
        let end = run::run(wiring).await;
        journal.flush().await;
        end
    });
    runtime.shutdown_background();
    match end.map_err(Exit::usage)?.exit_code() {
        0 => Ok(()),
        code => Err(Exit::silent(code)),
    }
}

/// Reads what was begun at these targets and never answered, on a thread: a long journal or a slow
/// disk holds nothing up. A journal that cannot be read is said when it is written to.
fn open_intents(path: PathBuf, targets: Vec<TargetId>) -> Receiver<Vec<Entry>> {
    let (tell, open) = mpsc::channel();
    let read = move || {
        let mut intents = journal::open_intents(&path).unwrap_or_default();
        intents.retain(|entry| entry.target.as_ref().is_some_and(|t| targets.contains(t)));
        let _ = tell.send(intents);
    };
    // Without a thread left there is no console either.
    let _ = thread::Builder::new().name("recall".into()).spawn(read);
    open
}

/// A console that cannot write its journal is opened all the same: the way back is not blocked by it.
fn ledger(path: &Path, clock: &Arc<dyn Clock>) -> Ledger {
    match Journal::open(path).and_then(|journal| JournalHandle::start(journal, Arc::clone(clock))) {
        Ok(journal) => Ledger::Open(journal),
        Err(e) => Ledger::Closed(e.to_string().into()),
    }
}

/// What the console shows of each target besides what it hears.
fn facts(targets: &[TargetConfig]) -> BTreeMap<TargetId, state::Place> {
    let paint = |color: TargetColor| match color {
        TargetColor::Red => Paint::Red,
        TargetColor::Yellow => Paint::Yellow,
        TargetColor::Green => Paint::Green,
        TargetColor::Cyan => Paint::Cyan,
        TargetColor::Blue => Paint::Blue,
        TargetColor::Magenta => Paint::Magenta,
    };
    let place = |t: &TargetConfig| state::Place { paint: t.color.map(paint), read_only: t.read_only };
    targets.iter().map(|t| (TargetId::new(t.name.clone()), place(t))).collect()
}

const fn color(choice: ColorChoice) -> Color {
    match choice {
        ColorChoice::Auto => Color::Auto,
        ColorChoice::Always => Color::Always,
        ColorChoice::Never => Color::Never,
    }
}

const fn decided(switch: Switch) -> Option<bool> {
    match switch {
        Switch::Auto => None,
        Switch::On => Some(true),
        Switch::Off => Some(false),
    }
}

const fn sync(switch: Switch) -> Sync {
    match switch {
        Switch::Auto => Sync::Auto,
        Switch::On => Sync::On,
        Switch::Off => Sync::Off,
    }
}
