// The package's public names.

export { CognitoUserEvents, type CognitoUserEventsProps, type TriggerName } from "./construct.js";
export type { OutputName, Parameters } from "./parameters.js";
