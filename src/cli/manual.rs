//! `cutover completions` and `cutover man`: what shells and `man` need, made from the command line itself.

use super::{
    Cli,
    exit::{self, Exit},
};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `cutover completions`.
#[derive(clap::Args, Debug)]
pub struct CompletionArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `cutover man`.
#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// The subcommand, in words: `config check` [default: the program].
    pub subcommand: Vec<String>,
    /// Write the pages of the program and of every subcommand into this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with = "subcommand")]
    pub dir: Option<PathBuf>,
}

/// The command line as it is documented: what is only for our own children is not in it.
fn public() -> Command {
    visible(&Cli::command()).version(env!("CARGO_PKG_VERSION"))
}

/// The same command without what is hidden. There is no way to take an argument out of one.
fn visible(whole: &Command) -> Command {
    let bare = Command::new(whole.get_name().to_owned())
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments().filter(|a| !a.is_hide_set()).cloned())
        .subcommands(whole.get_subcommands().filter(|c| !c.is_hide_set()).map(visible))
        .disable_help_subcommand(true);
    match whole.get_long_about() {
        Some(about) => bare.long_about(about.clone()),
        None => bare,
    }
}

/// Prints the script of a shell.
///
/// # Errors
/// When it cannot be printed.
pub fn completions(args: &CompletionArgs, out: &mut impl Write) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut public(), "cutover", &mut script);
    out.write_all(&script).and_then(|()| out.flush()).or_else(exit::closed)
}

/// Prints one page, or writes them all.
///
/// # Errors
/// When there is no such subcommand, or it cannot be written.
pub fn man(args: &ManArgs, out: &mut impl Write) -> Result<(), Exit> {
    let mut command = public();
    // Gives every subcommand its whole name.
    command.build();
    if let Some(dir) = &args.dir {
        let failed = |e: io::Error| Exit::usage(format!("{}: {e}", dir.display()));
        fs::create_dir_all(dir).map_err(failed)?;
        return pages(&command, dir).map_err(failed);
    }
    let mut chosen = &command;
    for word in &args.subcommand {
        chosen = chosen.find_subcommand(word).ok_or_else(|| {
            let names = chosen.get_subcommands().map(Command::get_name);
            let nearest = names.min_by_key(|name| strsim::osa_distance(name, word));
            let hint = nearest.map_or_else(String::new, |n| format!("; the nearest is `{n}`"));
            Exit::usage(format!("`{}` has no subcommand `{}`{hint}", chosen.get_name(), word.escape_debug()))
        })?;
    }
    page(chosen).and_then(|page| out.write_all(&page)).and_then(|()| out.flush()).or_else(exit::closed)
}

fn pages(command: &Command, dir: &Path) -> io::Result<()> {
    fs::write(dir.join(format!("{}.1", name(command))), page(command)?)?;
    command.get_subcommands().try_for_each(|c| pages(c, dir))
}

/// `cutover-config-check`, as manual pages of subcommands are called.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name(command)).render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::{CompletionArgs, ManArgs, completions, man, public};
    use clap::{Command, ValueEnum};
    use clap_complete::Shell;

    fn names() -> Vec<String> {
        public().get_subcommands().map(|c: &Command| c.get_name().to_owned()).collect()
    }

    fn printed(subcommand: &[&str]) -> String {
        let mut out = Vec::new();
        let args = ManArgs { subcommand: subcommand.iter().map(ToString::to_string).collect(), dir: None };
        man(&args, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_shell_completes_every_verb() {
        for shell in Shell::value_variants() {
            let mut out = Vec::new();
            completions(&CompletionArgs { shell: *shell }, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            for verb in names() {
                assert!(script.contains(&verb), "{shell}: {verb}");
            }
            for flag in ["switch-only", "read-only", "until"] {
                assert!(script.contains(flag), "{shell}: {flag}");
            }
            assert!(!script.contains("until-eof") && !script.contains("behaviour"), "{shell}: what is hidden stays so");
        }
    }

    #[test]
    fn there_is_a_page_of_the_program_and_of_every_subcommand() {
        let dir = tempfile::tempdir().unwrap();
        man(&ManArgs { subcommand: vec![], dir: Some(dir.path().to_owned()) }, &mut Vec::new()).unwrap();
        let program = std::fs::read_to_string(dir.path().join("cutover.1")).unwrap();
        assert!(program.contains(".TH cutover 1") && program == printed(&[]), "{program}");
        for verb in names() {
            assert!(program.contains(&verb.replace('-', "\\-")), "{verb}");
            let page = std::fs::read_to_string(dir.path().join(format!("cutover-{verb}.1"))).unwrap();
            assert!(page.contains(&format!(".TH cutover-{verb} 1")) && page == printed(&[&verb]), "{page}");
            assert!(page.contains("SYNOPSIS"), "{page}");
        }
        assert!(dir.path().join("cutover-config-check.1").exists() && printed(&["config", "check"]).contains("cutover\\-config\\-check"));
        let wrong = man(&ManArgs { subcommand: vec!["unod".into()], dir: None }, &mut Vec::new()).unwrap_err();
        assert_eq!((wrong.code(), wrong.line()), (2, Some("`cutover` has no subcommand `unod`; the nearest is `undo`")));
    }
}
