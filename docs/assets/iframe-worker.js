// Search in pages that are opened from files: browsers start no workers there, so a hidden frame plays the worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #waiting = [];
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = (this.inner = frame.contentWindow);
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inner.document.createElement("script");
      script.src = url;
      script.onload = () => {
        this.ready = true;
        this.#waiting.forEach((data) => this.postMessage(data));
      };
      script.onerror = () => this.dispatchEvent(new ErrorEvent("error", { message: `Cannot load ${url}` }));
      inner.document.body.append(script);
    }
    postMessage(data) {
      if (this.ready) this.inner.dispatchEvent(new MessageEvent("message", { data }));
      else this.#waiting.push(data);
    }
    set onmessage(listener) {
      this.addEventListener("message", listener);
    }
    set onerror(listener) {
      this.addEventListener("error", listener);
    }
    terminate() {
      this.inner.frameElement.remove();
    }
  };
}
