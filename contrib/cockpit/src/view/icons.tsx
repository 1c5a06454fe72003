// The icons for states, with words for those who do not see them.
import { Icon } from '@patternfly/react-core';
import CheckCircleIcon from '@patternfly/react-icons/dist/esm/icons/check-circle-icon';
import ExclamationCircleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon';
import ExclamationTriangleIcon from '@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon';
import MinusCircleIcon from '@patternfly/react-icons/dist/esm/icons/minus-circle-icon';
import type { CheckItem } from '../model/doctor.ts';
import type { Health } from '../model/health.ts';

/** Returns the icon of a network's health. */
export function healthIcon(health: Health) {
  switch (health) {
    case 'well':
      return stateIcon('ok');
    case 'warning':
      return stateIcon('warn');
    case 'broken':
      return stateIcon('fail');
  }
}

/** Returns the icon of a check. */
export function stateIcon(state: CheckItem['state']) {
  switch (state) {
    case 'ok':
      return (
        <Icon status="success">
          <CheckCircleIcon aria-label="good" />
        </Icon>
      );
    case 'warn':
      return (
        <Icon status="warning">
          <ExclamationTriangleIcon aria-label="warning" />
        </Icon>
      );
    case 'fail':
      return (
        <Icon status="danger">
          <ExclamationCircleIcon aria-label="failed" />
        </Icon>
      );
    case 'skipped':
      return (
        <Icon>
          <MinusCircleIcon aria-label="not checked" />
        </Icon>
      );
  }
}
