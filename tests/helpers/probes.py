"""Questions to a page, as expressions of JavaScript: what of it some people could not use."""

from __future__ import annotations

from typing import Final

CONTRAST: Final = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const node = walker.currentNode.parentElement;
    if (!text || !node.checkVisibility() || node.matches("script, style")) continue;
    const colour = parts(getComputedStyle(node).color);
    if (colour[3] === 0) continue;
    const [a, b] = [light(colour), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""Texts with a contrast below 4.5 to what is behind them."""

TOO_WIDE: Final = """() => {
  const root = document.documentElement;
  const beyond = (node) => node.checkVisibility() && !node.closest('.ticks, svg, .unseen')
    && node.getBoundingClientRect().right > innerWidth + 1;
  const out = [...document.querySelectorAll('main *')].filter(beyond);
  if (root.scrollWidth > root.clientWidth) out.push(root);
  return out.map((node) => node.outerHTML.slice(0, 200));
}"""
"""Elements that reach beyond the window."""

UNNAMED: Final = """() => {
  const all = document.querySelectorAll(
    'select, input, a[href], button, [role=img], [role=tabpanel], progress');
  const named = (node) => node.labels?.length || node.getAttribute('aria-label')
    || node.getAttribute('aria-labelledby') || node.textContent.trim();
  return [...all].filter((node) => node.checkVisibility() && !named(node)).map((node) => node.outerHTML);
}"""
"""Elements to act on that have no name for who does not see them."""

FOCUSABLE: Final = """() => {
  const all = document.querySelectorAll('a[href], button, select, input, [tabindex="0"]');
  const used = [...all].filter((node) => node.checkVisibility() && node.tabIndex >= 0);
  return used.map((node) => node.id || node.textContent);
}"""
"""What the Tab key is to reach, in the order of the document."""

FOCUSED: Final = "document.activeElement.id || document.activeElement.textContent"
OUTLINE: Final = "getComputedStyle(document.activeElement).outlineStyle"
PLACES: Final = """[...document.querySelectorAll('section, dl')].map(
  (node) => JSON.stringify(node.getBoundingClientRect()))"""
IDS: Final = "[...document.querySelectorAll('[id]')].map((node) => node.id)"
HEADINGS: Final = "[...document.querySelectorAll('h1, h2, h3')].map((node) => node.tagName)"
ANNOUNCED: Final = """[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(
  (node) => node.id)"""

INJECTED: Final = """() => {
  const script = document.createElement('script');
  script.textContent = 'window.ran = 1';
  document.body.append(script);
  return window.ran;
}"""
"""Runs a script that is not the page's own; null where its policy forbids that."""
