//! `onemap demo-data`: files of a fictional county.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::{Failure, Globals, Outcome};
use crate::county;

/// Make the files of a fictional county, as a bureau would hand them over (生成虚构的示范县数据)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples (示例):
  onemap demo-data 示范县 --seed 7 --parcels 20000
  onemap import map dltb=示范县/DLTB_2024.gpkg --kind landuse

Everything is fictional (全部为虚构数据). The same seed makes the same bytes.")]
pub struct DemoDataArgs {
    /// Directory to write into; files of the same names are replaced (输出目录)
    pub out: PathBuf,
    /// Which county (随机种子)
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// About how many land parcels a year has (图斑数)
    #[arg(long, default_value_t = 6000, value_name = "N")]
    pub parcels: u64,
    /// The years of the two surveys (年份)
    #[arg(long, value_delimiter = ',', default_values_t = [2019u16, 2024], num_args = 1..=2, value_name = "YEARS")]
    pub years: Vec<u16>,
    /// 3° zone of CGCS2000, 25 to 45 (带号)
    #[arg(long, default_value_t = 39)]
    pub zone: u32,
    /// Also a layer with planted defects and the list of them (另生成含缺陷的图层)
    #[arg(long)]
    pub defects: bool,
    /// No rendered pictures (不生成影像)
    #[arg(long)]
    pub no_imagery: bool,
}

pub fn run(args: DemoDataArgs, globals: &Globals) -> Result<Outcome, Failure> {
    if let Some(threads) = globals.threads {
        // The pool is made once per process, and nothing has used it yet.
        let _already_made = rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global();
    }
    let years = match args.years.as_slice() {
        [first, second] => [*first, *second],
        other => return Err(Failure::TwoYears { found: other.len() }),
    };
    let options = county::Options {
        seed: args.seed,
        parcels: args.parcels,
        years,
        zone: args.zone,
        defects: args.defects,
        imagery: !args.no_imagery,
    };
    let begun = Instant::now();
    let report = county::generate(&options, &args.out)?;
    let mut out = std::io::stdout().lock();
    if globals.json {
        writeln!(out, "{}", report.answers)?;
    } else if !globals.quiet {
        writeln!(
            out,
            "{} villages, {} and {} parcels, {} changes, {:.1} km², {:.1} s (虚构数据): {}",
            report.villages,
            report.parcels_before,
            report.parcels_after,
            report.changes,
            report.area_centi_m2 as f64 / 1e8,
            begun.elapsed().as_secs_f64(),
            args.out.display()
        )?;
    }
    Ok(Outcome::Done)
}
