import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      "no-implicit-coercion": "error",
      "no-param-reassign": "error",
      "no-promise-executor-return": "off",
      "no-template-curly-in-string": "error",
      "no-unused-expressions": "error",
      "no-unused-private-class-members": "error",
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "require-await": "error",
      // The type checker knows better.
      "no-undef": "off",
    },
  },
  { files: ["app.js", "src/**", "test/**", "bench/**"], languageOptions: { globals: globals.node } },
  {
    files: ["page/**"],
    languageOptions: { globals: globals.browser },
    // Text from the database is only ever text.
    rules: {
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "use textContent" },
        { property: "outerHTML", message: "use textContent" },
        { property: "insertAdjacentHTML", message: "use append" },
      ],
    },
  },
];
