//! `campanile help`

mod page;
mod topics;

use std::process::ExitCode;

use clap::CommandFactory;
use engine::failure::{Class, Failure};
use engine::problem::did_you_mean;

use crate::fault::Fault;
use crate::table::Table;
use crate::{Cli, terminal};

use topics::Topic;

/// Show the help of a command, or a page of the manual.
///
/// The manual is part of the program: the guide, the types of activities, the problems that `check` finds, and the commands.
/// Without a topic, all are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A command such as `options set`, a page such as `import`, a type of activity such as `crm.import`, or the code of a
    /// problem such as `unknown-key`.
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

pub(super) fn perform(args: &Args) -> Result<ExitCode, Fault> {
    if args.topic.is_empty() {
        let mut cli = Cli::command();
        terminal::line(&cli.render_long_help().to_string());
        list();
        return Ok(ExitCode::SUCCESS);
    }
    // A page says more than the help of a command of the same name, which `campanile COMMAND --help` has as well.
    let name = args.topic.join(" ");
    if let Some(text) = topics::page(&name) {
        page::lines(text, page::width()).iter().for_each(|line| terminal::line(line));
        if command(&args.topic).is_some() {
            terminal::line(&format!("\n`campanile {name} --help` shows the command."));
        }
    } else if let Some(mut command) = command(&args.topic) {
        terminal::line(&command.render_long_help().to_string());
    } else if let Some(text) = topics::section(&name) {
        page::lines(&text, page::width()).iter().for_each(|line| terminal::line(line));
    } else {
        return Err(unknown(&name));
    }
    Ok(ExitCode::SUCCESS)
}

/// The command of these words, such as `options set`.
fn command(words: &[String]) -> Option<clap::Command> {
    let mut command = Cli::command();
    command.build();
    for word in words {
        command = command.find_subcommand(word)?.clone();
    }
    Some(command)
}

fn list() {
    terminal::line("Pages of the manual, each by `campanile help PAGE`:\n");
    let mut table = Table::new(&["PAGE", "WHAT IT IS ABOUT"]);
    for Topic { name, text } in topics::PAGES {
        table.row(vec![(*name).to_owned(), topics::title(text).to_owned()]);
    }
    table.print("  ");
    terminal::line(
        "\n`campanile help crm.import` and the like show a type of activity, `campanile help unknown-key` and the like a problem.",
    );
}

fn unknown(name: &str) -> Fault {
    let commands = Cli::command();
    let commands: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    let pages = topics::PAGES.iter().map(|topic| topic.name);
    let sections: Vec<String> = topics::sections();
    let all = commands.iter().copied().chain(pages).chain(sections.iter().map(String::as_str));
    let help = match did_you_mean(name, all) {
        Some(near) => format!("did you mean `campanile help {near}`? `campanile help` lists all topics"),
        None => "`campanile help` lists all topics".to_owned(),
    };
    Fault::NotRight(Failure::new(Class::Config, format!("there is no help on \"{name}\"")).help(help))
}
