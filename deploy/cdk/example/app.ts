// An app with both ways: the stack `Shop` gets a user pool of its own, and the stack `Forum` has a pool
// already, which the construct attaches.

import { App, CfnOutput, CfnParameter, Stack, type StackProps } from "aws-cdk-lib";
import * as cognito from "aws-cdk-lib/aws-cognito";
import * as iam from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import * as sns from "aws-cdk-lib/aws-sns";
import { CognitoUserEvents } from "cognito-user-events-cdk";
import type { Construct } from "constructs";

interface ExampleProps extends StackProps {
  /** Folder of a release. */
  readonly release: string;
  readonly architecture: lambda.Architecture;
}

class Shop extends Stack {
  public constructor(scope: Construct, id: string, props: ExampleProps) {
    super(scope, id, props);
    const orders = new iam.Role(this, "OrderService", { assumedBy: new iam.AccountRootPrincipal() });
    const alarms = new sns.Topic(this, "Alarms");
    const originSecret = new CfnParameter(this, "OriginSecret", { noEcho: true });

    const events = new CognitoUserEvents(this, "Events", {
      release: props.release,
      architecture: props.architecture,
      productName: "Example Shop",
      allowedEmailDomains: "example.com",
      groupRules: JSON.stringify([
        { attribute: "custom:department", equals: "Engineering", group: "Developer" },
      ]),
      firstGroup: "Developer",
      // Only for the test, which signs in with a password. The default is SRP.
      authFlows: ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
      eventProducers: orders.roleArn,
      alarmTopicArn: alarms.topicArn,
      originSecret: originSecret.valueAsString,
    });
    events.userEventsQueue.grantSendMessages(orders);

    new CfnOutput(this, "UserPoolId", { value: events.userPool.userPoolId });
    new CfnOutput(this, "ClientId", { value: events.output("UserPoolClientId") });
    new CfnOutput(this, "PageBucketName", { value: events.output("PageBucketName") });
    new CfnOutput(this, "TableName", { value: events.table.tableName });
    new CfnOutput(this, "EventsStackName", { value: events.stackName });
  }
}

class Forum extends Stack {
  public constructor(scope: Construct, id: string, props: ExampleProps & { readonly userPoolId?: string }) {
    super(scope, id, props);
    const pool = new cognito.UserPool(this, "Users", {
      selfSignUpEnabled: true,
      signInAliases: { email: true },
      passwordPolicy: { minLength: 10 },
    });
    const client = pool.addClient("App", { authFlows: { userPassword: true } });

    // Without the ID, this deploys only the pool. With it, the pool calls the functions.
    if (props.userPoolId) {
      const events = new CognitoUserEvents(this, "Events", {
        release: props.release,
        architecture: props.architecture,
        productName: "Example Forum",
        existingUserPoolId: props.userPoolId,
        allowedEmailDomains: "example.com",
        apiOriginDomainName: "api.example.com",
      });
      events.attachTo(pool);
      new CfnOutput(this, "EventsStackName", { value: events.stackName });
    }
    new CfnOutput(this, "UserPoolId", { value: pool.userPoolId });
    new CfnOutput(this, "ClientId", { value: client.userPoolClientId });
  }
}

const app = new App();
const context = (name: string): string | undefined => app.node.tryGetContext(name) as string | undefined;
const example = {
  release: context("release") ?? "cognito-user-events",
  architecture:
    context("architecture") === "x86_64" ? lambda.Architecture.X86_64 : lambda.Architecture.ARM_64,
};
new Shop(app, "Shop", example);
new Forum(app, "Forum", { ...example, userPoolId: context("userPoolId") });
