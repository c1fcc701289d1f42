//! Takes so many MiB of memory, says so, and holds them until its standard input is closed.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};

use anyhow::Context as _;

const MIB: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    let mib = std::env::args().nth(1).context("say how many MiB to take")?;
    let mib: usize = mib.parse().context("how many MiB to take must be a number")?;
    // What is not zero has to be kept by the kernel, page by page.
    let held: Vec<Vec<u8>> = (0..mib).map(|_| black_box(vec![1; MIB])).collect();
    writeln!(io::stdout(), "full")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}
