//! Frames coming in.

use std::time::Duration;

use lineshaft_wire::frame::{Frame, FrameDecoder};
use lineshaft_wire::message::{FRAME_BYTES_MAX, RefusalCode};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::goodbye::Goodbye;

/// Longest first frame: nobody who has not been let in may fill more memory than this.
const FIRST_FRAME_BYTES_MAX: u32 = 64 << 10;

/// The reading half of a connection.
pub(crate) struct Inbound<R> {
    stream: R,
    decoder: FrameDecoder,
    stall: Duration,
}

impl<R: AsyncRead + Unpin> Inbound<R> {
    /// Reads from `stream`, which may be silent for `stall` inside a frame.
    pub(crate) fn new(stream: R, stall: Duration) -> Self {
        Self { stream, decoder: FrameDecoder::new(FIRST_FRAME_BYTES_MAX), stall }
    }

    /// Lets frames of full length through.
    pub(crate) fn admit(&mut self) {
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        decoder.push(self.decoder.read_buffer());
        self.decoder = decoder;
    }

    /// The next frame. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Frame, Goodbye> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// Reads and forgets until the peer closes.
    pub(crate) async fn discard(&mut self) {
        let mut scrap = vec![0; 16 << 10];
        while self.stream.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
    }

    async fn read(&mut self) -> Result<(), Goodbye> {
        let is_inside_frame = self.decoder.is_inside_frame();
        let reading = self.stream.read_buf(self.decoder.read_buffer());
        let read = if is_inside_frame {
            timeout(self.stall, reading).await.map_err(|_| stalled(self.stall))?
        } else {
            reading.await
        };
        match read {
            Ok(0) if is_inside_frame => {
                Err(Goodbye::Gone("the peer closed in the middle of a frame".to_owned()))
            }
            Ok(0) => Err(Goodbye::closed()),
            Ok(_) => Ok(()),
            Err(error) => Err(Goodbye::broken(&error)),
        }
    }
}

fn stalled(stall: Duration) -> Goodbye {
    Goodbye::tell(RefusalCode::BadFrame, format!("half a frame came, then nothing for {stall:?}"))
}
