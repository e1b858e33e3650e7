// The clock behind Gradio's "Loading…" goes on for as long as the page is open, asking for a frame
// each time: the screen never rests, and a touched word waits for the next frame of many. Here before
// Gradio's own scripts, this hands them a clock that slows down once the page is there; whoever asks
// for a frame from then on asks the browser itself.

(function () {
  const frame = window.requestAnimationFrame;
  let loaded = false;

  window.requestAnimationFrame = (act) =>
    loaded ? setTimeout(() => act(performance.now()), 1000) : frame.call(window, act);

  window.captionerLoaded = () => {
    loaded = true;
    window.requestAnimationFrame = frame;
  };
})();
