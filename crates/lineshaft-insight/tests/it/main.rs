//! Choices among implementations whose run times are drawn.

mod choices;
