// The picture of a network as SVG.
import { useEffect, useRef, useState } from 'react';
import type { NetworkStatus } from '../../../../src/report/status.ts';
import { type Box, boxHeight, pictureOf, type Way } from '../model/picture.ts';

/** Width before the first measurement, in pixels. */
const firstWidth = 640;
const maxWidth = 1100;

/** Room for the borders of boxes. */
const edge = 2;

/** The picture, as wide as there is room. */
export function PictureView({ network }: { readonly network: NetworkStatus }) {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(firstWidth);
  useEffect(() => {
    if (place.current === null) return;
    const observer = new ResizeObserver(([entry]) => {
      const room = Math.floor(entry?.contentRect.width ?? firstWidth);
      setWidth(Math.max(240, Math.min(maxWidth, room)));
    });
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  const picture = pictureOf(network, width);
  return (
    <div ref={place} className="virlan-picture">
      <svg
        width={picture.width}
        height={picture.height + 2 * edge}
        viewBox={`${-edge} ${-edge} ${picture.width + 2 * edge} ${picture.height + 2 * edge}`}
        role="img"
        aria-label={picture.description}
      >
        {picture.ways.map(way => (
          <WayLine key={way.key} way={way} />
        ))}
        {picture.boxes.map(box => (
          <BoxView key={box.key} box={box} />
        ))}
      </svg>
    </div>
  );
}

function WayLine({ way: { from, corners, to, state } }: { readonly way: Way }) {
  const [x, y] = to;
  return (
    <>
      <polyline
        className={`way ${state}`}
        points={[from, ...corners, to].map(point => point.join()).join(' ')}
      />
      {state === 'broken' ? <path className="cross" d={`M${x - 6} ${y - 15} l12 12 m0 -12 l-12 12`} /> : null}
    </>
  );
}

/** Cuts a text to the width of a box, by the width of a letter: SVG text does not wrap. */
function fitted(text: string, width: number, letterWidth: number): string {
  const letters = Math.floor((width - 34) / letterWidth);
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
}

function BoxView({ box: { x, y, width, title, detail, state } }: { readonly box: Box }) {
  return (
    <g className={`box ${state}`} transform={`translate(${x} ${y})`}>
      <title>{`${title} ${detail}`}</title>
      <rect width={width} height={boxHeight} rx={6} />
      <circle cx={15} cy={boxHeight / 2} r={5} />
      <text className="title" x={28} y={20}>
        {fitted(title, width, 7.2)}
      </text>
      <text className="detail" x={28} y={36}>
        {fitted(detail, width, 6.4)}
      </text>
    </g>
  );
}
