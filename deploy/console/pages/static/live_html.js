// Markup that the server changes piece by piece. The server escapes; this only puts pieces in place, keeps the
// keyboard's focus where it was, and tells the server which element with `data-act` was activated.
export default {
  template: `<component :is="tag" @click="act"></component>`,
  // version: the same content may have to be drawn again, over what was patched since
  props: { content: String, tag: String, version: Number },
  data() {
    return { drawn: -1 };
  },
  mounted() {
    this.draw();
  },
  updated() {
    this.draw();
  },
  methods: {
    draw() {
      if (this.version === this.drawn) return;
      this.drawn = this.version;
      this.keeping(() => (this.$el.innerHTML = this.content));
    },
    // pieces: [id, markup of the whole element] in any order
    patch(pieces) {
      this.keeping(() => {
        for (const [id, markup] of pieces) {
          const old = this.$el.querySelector("#" + CSS.escape(id));
          if (old !== null) old.outerHTML = markup;
        }
      });
    },
    keeping(change) {
      const active = document.activeElement;
      const focused = active && this.$el.contains(active) ? active.id || active.dataset.key : null;
      const scrolled = [...this.$el.querySelectorAll("[data-scroll]")].map((each) => [
        each.id, each.scrollLeft, each.scrollTop,
      ]);
      const opened = [...this.$el.querySelectorAll("details")].map((each) => each.open);
      change();
      const again = this.$el.querySelectorAll("details");
      if (again.length === opened.length) again.forEach((each, at) => (each.open = opened[at]));
      for (const [id, left, top] of scrolled) {
        const frame = this.$el.querySelector("#" + CSS.escape(id));
        if (frame !== null) frame.scrollTo(left, top);
      }
      if (focused && !this.$el.contains(document.activeElement)) {
        const again = this.$el.querySelector(`#${CSS.escape(focused)}, [data-key="${CSS.escape(focused)}"]`);
        again?.focus({ preventScroll: true });
      }
    },
    act(event) {
      const target = event.target.closest("[data-act]");
      if (target === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      window.lastActed = target.id;
      this.$emit("act", { act: target.dataset.act, value: target.dataset.value ?? "" });
    },
    // Brings an element of this markup to sight, and the keyboard to it.
    reveal(id) {
      const target = this.$el.querySelector("#" + CSS.escape(id));
      target?.focus({ preventScroll: true });
      target?.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
  },
};
