//! Growth of a child, looked at after each job: what has grown too much takes no more of them.

use std::sync::OnceLock;

use lineshaft_ipc::rss::Rss;
use lineshaft_ipc::shared::AttemptPage;

/// The bound of this process, once it is ready for jobs.
#[derive(Debug, Default)]
pub(super) struct Wear(OnceLock<Bound>);

#[derive(Debug)]
struct Bound {
    rss: Rss,
    baseline: u64,
    growth: u64,
}

impl Wear {
    /// What the process has now is what it needs; it may have `growth` bytes more.
    pub(super) fn begin(&self, growth: Option<u64>, page: &AttemptPage) {
        let Ok(rss) = Rss::of(std::process::id()) else { return };
        let baseline = rss.bytes().unwrap_or(0);
        page.set_baseline(baseline);
        if let Some(growth) = growth {
            // Called once.
            let _ = self.0.set(Bound { rss, baseline, growth });
        }
    }

    /// By how much it has grown, if that is too much. A microsecond where there is a bound.
    pub(super) fn excess(&self) -> Option<u64> {
        let Bound { rss, baseline, growth } = self.0.get()?;
        let grown = rss.bytes()?.saturating_sub(*baseline);
        (grown > *growth).then_some(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_grows_beyond_its_bound_is_worn() {
        let page = AttemptPage::create(1).unwrap();
        let (wear, unbound) = (Wear::default(), Wear::default());
        assert_eq!(wear.excess(), None, "before it is ready");
        unbound.begin(None, &page);
        wear.begin(Some(64 << 20), &page);
        assert!(page.baseline() > 0);
        let block = vec![1u8; 192 << 20];
        assert!(wear.excess().is_some_and(|grown| grown > 64 << 20));
        assert_eq!(unbound.excess(), None);
        drop(block);
    }
}
