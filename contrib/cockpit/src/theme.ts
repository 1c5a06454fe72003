// Follows the style that was chosen in Cockpit: it keeps it in the browser, for all of its pages.

const key = 'shell:style';

/** Sets PatternFly's class for dark mode now, and whenever the choice or the system's style changes. */
export function followStyle(): void {
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const style = localStorage.getItem(key) ?? 'auto';
    const isDark = style === 'dark' || (style === 'auto' && system.matches);
    document.documentElement.classList.toggle('pf-v6-theme-dark', isDark);
  };
  apply();
  system.addEventListener('change', apply);
  // Of the shell's frame, and of other tabs.
  window.addEventListener('cockpit-style', apply);
  window.addEventListener('storage', event => event.key === key && apply());
}
