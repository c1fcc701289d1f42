//! Runs a program that the kernel kills at once when it, or anything that it starts, asks for a
//! socket other than a unix socket.

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use std::collections::BTreeMap;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use anyhow::Context as _;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("name the program to run")?;
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    let is_not_unix = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, unix)?;
    let rules = BTreeMap::from([
        (libc::SYS_socket, vec![SeccompRule::new(vec![is_not_unix])?]),
        // What is submitted to a ring passes no filter.
        (libc::SYS_io_uring_setup, Vec::new()),
    ]);
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, architecture)?;
    let filter: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&filter).context("the kernel takes no filter")?;
    let failed = Command::new(&program).args(arguments).exec();
    Err(failed).with_context(|| format!("cannot run {}", program.display()))
}

#[cfg(not(target_os = "linux"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("only Linux can take the network from a program in this way")
}
