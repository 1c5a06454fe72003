// The page of virlan in Cockpit.
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './page.css';
import { followStyle } from './theme.ts';
import { App } from './view/app.tsx';

followStyle();
const place = document.getElementById('app');
if (place !== null)
  createRoot(place).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
