//! The `tandem` command: reads the arguments, runs one command, turns its outcome into an exit
//! code.

use std::{env, process::ExitCode};

use clap::Parser as _;
use tokio::runtime;

mod claim;
mod command;
mod context;
mod failure;
mod file;
mod habit;
mod model_path;
mod prompt;
mod report;
mod terminal;

use command::Arguments;
use context::Context;
use failure::Failure;
use terminal::Terminal;

fn main() -> ExitCode {
    let Arguments { global, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&habit::advise(error)),
    };
    let terminal = Terminal::new(global.json, global.quiet);
    let outcome = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Output)
        .and_then(|runtime| {
            let outcome = runtime.block_on(command.run(&Context::new(&global, terminal)));
            // A thread that reads from the terminal must not keep the process.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            terminal.error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Answers arguments that cannot be used, and those that ask for help or the version.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && env::args_os().any(|argument| argument == "--json") {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        Terminal::new(true, false).error(&Failure::usage(message, "`tandem --help` explains"));
    } else {
        // A pipe that was closed before the help is no failure.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
